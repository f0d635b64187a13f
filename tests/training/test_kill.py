"""Real signals: SIGKILL anywhere, alone and among ranks, and a polite SIGTERM."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ASKED = ["run", "--method", "ofa", "--space", "toy", "--epochs", "8", "--json"]
ASKED += ["--set", "evaluate.per_bucket=1", "--set", "evaluate.curve=0", "--results"]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def command(folder: Path, launch: list[str]) -> list[str]:
    return [sys.executable, *launch, "-m", "ofa_bench", *ASKED, str(folder)]


def finish(folder: Path, launch: list[str]) -> str:
    done = subprocess.run(command(folder, launch), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return str(json.loads(done.stdout)["weights_sha256"])


def killed(folder: Path, launch: list[str], number: int) -> subprocess.Popen[str]:
    """Start a run and signal all its processes once its first checkpoint is written."""
    words = command(folder, launch)
    before = set(folder.glob("runs/*/checkpoint/*.pt"))
    process = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for _ in range(600):
        if set(folder.glob("runs/*/checkpoint/*.pt")) - before or process.poll() is not None:
            break
        time.sleep(0.1)
    assert process.poll() is None, "the run ended before it could be killed"
    for pid in ours(folder):
        os.kill(pid, number)
    return process


def ours(folder: Path) -> list[int]:
    """The launcher and the ranks, which it puts into sessions of their own, by what they were
    started with."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if entry.name.isdigit() and str(folder).encode() in words:
            found.append(int(entry.name))
    return found


@pytest.mark.parametrize("launch", [[], TORCHRUN], ids=["alone", "two ranks"])
def test_sigkill_twice_ends_with_the_same_bits(launch: list[str], tmp_path: Path) -> None:
    whole = finish(tmp_path / "whole", launch)
    for _ in range(2):
        killed(tmp_path / "cut", launch, signal.SIGKILL).communicate()
    assert finish(tmp_path / "cut", launch) == whole


def test_sigterm_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    process = killed(tmp_path, [], signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "ofa-bench resume" in told
    assert "Traceback" not in told
    assert list(tmp_path.glob("runs/*/checkpoint/*.pt"))
