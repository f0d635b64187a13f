"""Runs side by side end as they would one after another."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from ofa_bench.cli import parallel_runs
from ofa_bench.errors import BenchError
from tests import preloaded
from tests.cli.conftest import Bench
from tests.running import (
    ENDLESS,
    GUARD,
    checkpoints,
    descendants,
    gone,
    kill,
    pictures,
    started,
    training,
    until,
    words,
)

SMALL = ("--space", "toy", "--seeds", "1", "--set", "evaluate.per_bucket=1", "--yes", "--json")
UNWATCHED = ("--set", "evaluate.curve=0", "--set", "evaluate.buckets=2")


def weights(results: Path) -> dict[str, str]:
    records = [json.loads(path.read_text()) for path in results.rglob("records/*/*/*.json")]
    return {record["method"]["name"]: record["weights_sha256"] for record in records}


def test_the_same_bits(bench: Bench, tmp_path: Path) -> None:
    words = ("compare", "--methods", "deps,ofa,compofa", "--epochs", "0.3", *SMALL)
    words += UNWATCHED
    apart = bench(*words, "--results", str(tmp_path / "apart"))
    beside = bench(*words, "--results", str(tmp_path / "beside"), "--devices", "cpu,cpu")
    assert (apart.code, beside.code) == (0, 0)
    assert len(beside.json["rows"]) == 3
    assert weights(tmp_path / "apart") == weights(tmp_path / "beside")
    assert not (tmp_path / "beside" / "runs" / "shared").exists()


def test_no_devices(bench: Bench) -> None:
    for devices in ("", "tpu", "0,x", "cuda:"):
        assert bench("compare", *SMALL, "--devices", devices).code == 2


def test_one_that_is_absent(bench: Bench, tmp_path: Path) -> None:
    done = bench("compare", *SMALL, "--results", str(tmp_path), "--devices", "97")
    assert done.code == 2 and "CUDA devices" in done.err


def test_devices_are_looked_for_before_anything_starts(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel_runs, "get_context", None)  # no process can be started
    done = bench("compare", *SMALL, "--results", str(tmp_path), "--devices", "cpu,0,99999999999")
    assert done.code == 2 and "device" in done.err and "training MACs" not in done.err


class Ended(NamedTuple):
    """A process that is over."""

    exitcode: int


@pytest.mark.parametrize("code", [0, -9])
def test_one_that_ends_without_an_answer(code: int) -> None:
    with pytest.raises(BenchError, match="without an answer"):
        parallel_runs._next(queue.Queue(), [Ended(code)])


def test_an_answer_of_one_that_ended_is_taken() -> None:
    answers: queue.Queue[str] = queue.Queue()
    answers.put("done")
    assert parallel_runs._next(answers, [Ended(0)]) == "done"


def test_a_signal_saves_all(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "ofa_bench", "compare", "--methods", "deps,bignas"]
    words += ["--epochs", "200", *SMALL, "--results", str(tmp_path), "--devices", "cpu,cpu"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = preloaded.Process(words, env=env, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("runs/*/events.jsonl"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(1)
    running.send_signal(signal.SIGTERM)
    _, err = running.communicate(timeout=120)
    assert running.returncode == 130 and "goes on with all of them" in err
    assert len(list(tmp_path.glob("runs/*/checkpoint/*"))) >= 2


@pytest.mark.parametrize("how", ["one Ctrl-C", "the parent killed"])
def test_comparisons_with_workers_leave_no_process(how: str, tmp_path: Path) -> None:
    line = words("compare", "--methods", "ofa,bignas", "--dataset", "folder", "--data-dir")
    line += [str(pictures(tmp_path / "images")), "--workers", "1", "--seeds", "1"]
    # A comparison looks at every step before the first, so it is not endless.
    line += [*ENDLESS, "--epochs", "800", "--yes", "--results", str(tmp_path)]
    line += ["--devices", "cpu,cpu"]
    with started(line) as running:
        training(running, tmp_path, runs=2)
        before, processes = states(tmp_path), descendants(running.pid)
        if how == "one Ctrl-C":
            os.killpg(running.pid, signal.SIGINT)
            _, err = running.communicate(timeout=GUARD)
            assert running.returncode == 130 and "goes on with all of them" in err
            assert "Traceback" not in err
        else:
            kill(running.pid)
        until(lambda: gone(processes), "the end of all processes")
    for run, saved in states(tmp_path).items():
        assert saved > before[run], "the state is saved at the end"


def states(results: Path) -> dict[Path, int]:
    """When each run wrote its newest checkpoint."""
    newest: dict[Path, int] = {}
    for path in sorted(checkpoints(results)):
        newest[path.parent] = path.stat().st_mtime_ns
    return newest
