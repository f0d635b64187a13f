"""The allocator is set before torch comes, and nowhere else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ofa_bench.cli import allocator

ASK = "from ofa_bench.cli.allocator import settle; import os; print(settle({device!r}), end=' ')"
TELL = "; print(os.environ.get('OFA_BENCH_ALLOCATOR'))"


def settled(device: str | None, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", ASK.format(device=device) + TELL],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "", **environment},
    )
    return done.stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is Linux's")
def test_a_run_on_the_cpu_gets_it_and_the_record_can_tell() -> None:
    import platform

    expected = "True no-mmap" if platform.libc_ver()[0] == "glibc" else "False None"
    assert settled("cpu") == expected


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_run_on_a_gpu_does_without(device: str) -> None:
    assert settled(device) == "False None"


def test_it_can_be_switched_off() -> None:
    assert settled("cpu", OFA_BENCH_ALLOCATOR="default") == "False default"


def test_it_comes_too_late_once_torch_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys)
    assert allocator.settle("cpu") is False


def test_the_library_leaves_it_alone() -> None:
    code = "import ofa_bench.api, os; print(os.environ.get('OFA_BENCH_ALLOCATOR'))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PATH": ""}, check=True
    )
    assert done.stdout.strip() == "None"
