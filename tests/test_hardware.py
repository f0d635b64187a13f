"""What the machine is asked."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

from ofa_bench import hardware
from ofa_bench.hardware import peak_memory, usable_cores, usual_workers

MANY = 400 * 2**20
CHILD = "from ofa_bench.hardware import peak_memory; print(peak_memory())"


def test_peak_is_this_process_own() -> None:
    held = numpy.ones(MANY, dtype=numpy.uint8)
    assert peak_memory() >= held.nbytes
    child = subprocess.run([sys.executable, "-c", CHILD], check=True, capture_output=True)
    assert 2**20 < int(child.stdout) < MANY // 2


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 2.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, math.inf),
        ("0::/a/b\n", {"a/cpu.max": "400000 100000\n", "a/b/cpu.max": "max 100000\n"}, 4),
        ("0::/not/here\n", {"cpu.max": "100000 100000\n"}, 1),
        (
            "3:cpu,cpuacct:/job\n1:name=systemd:/\n0::/\n",
            {
                "cpu,cpuacct/job/cpu.cfs_quota_us": "600000\n",
                "cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
                "cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
                "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            6,
        ),
        ("0::/\n", {"cpu.max": "nonsense\n"}, math.inf),
        ("nonsense\n", {}, math.inf),
    ],
)
def test_a_containers_limit(
    groups: str, files: dict[str, str], cores: float, tmp_path: Path
) -> None:
    (tmp_path / "cgroup").write_text(groups)
    for name, text in files.items():
        path = tmp_path / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert hardware._cgroup_cores(tmp_path / "cgroup", tmp_path / "fs") == cores


@pytest.mark.parametrize(
    ("affinity", "limit", "ranks", "cores", "workers"),
    [
        (64, math.inf, None, 64, 8),
        (64, math.inf, "8", 8, 7),
        (64, 5.5, None, 6, 5),
        (2, math.inf, None, 2, 1),
        (1, 0.5, "4", 1, 1),
        (16, math.inf, "0", 16, 8),
    ],
)
def test_workers_follow_the_cores_of_a_rank(
    affinity: int,
    limit: float,
    ranks: str | None,
    cores: int,
    workers: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(affinity)), raising=False)
    monkeypatch.setattr(hardware, "_cgroup_cores", lambda: limit)
    if ranks is None:
        monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    else:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", ranks)
    assert usable_cores() == cores
    assert usual_workers(gpu=True) == workers
    assert usual_workers(gpu=False) == 2
