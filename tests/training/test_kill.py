"""Real signals: SIGKILL anywhere, alone and among ranks, and a polite SIGTERM."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests import preloaded
from tests.running import TORCHRUN, checkpoints, descendants, ended, until, words

ASKED = ["run", "--method", "ofa", "--space", "toy", "--epochs", "8", "--json"]
ASKED += ["--set", "evaluate.per_bucket=1", "--set", "evaluate.curve=0", "--results"]


def command(folder: Path, launch: tuple[str, ...]) -> list[str]:
    return words(*ASKED, folder, launch=launch)


def finish(folder: Path, launch: tuple[str, ...]) -> str:
    done = preloaded.run(command(folder, launch))
    assert done.returncode == 0, done.stderr[-2000:]
    return str(json.loads(done.stdout)["weights_sha256"])


def killed(folder: Path, launch: tuple[str, ...], number: int) -> subprocess.Popen[str]:
    """Start a run and signal all its processes once its first checkpoint is written."""
    before = checkpoints(folder)
    pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = preloaded.Process(command(folder, launch), **pipes)
    until(lambda: checkpoints(folder) - before or ended(process), "a checkpoint")
    assert not ended(process), "the run ended before it could be killed"
    for pid in (process.pid, *descendants(process.pid)):
        os.kill(pid, number)
    return process


@pytest.mark.parametrize("launch", [(), TORCHRUN], ids=["alone", "two ranks"])
def test_sigkill_twice_ends_with_the_same_bits(launch: tuple[str, ...], tmp_path: Path) -> None:
    whole = finish(tmp_path / "whole", launch)
    for _ in range(2):
        killed(tmp_path / "cut", launch, signal.SIGKILL).communicate()
    assert finish(tmp_path / "cut", launch) == whole


def test_sigterm_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    process = killed(tmp_path, (), signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "ofa-bench resume" in told
    assert "Traceback" not in told
    assert list(tmp_path.glob("runs/*/checkpoint/*.pt"))
