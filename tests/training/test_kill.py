"""Real signals: SIGKILL anywhere, alone and among ranks, and a polite SIGTERM."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.running import checkpoints, ended, finished_ranks, start_ranks, until, words

ASKED = ["run", "--method", "ofa", "--space", "toy", "--epochs", "2", "--json"]
ASKED += ["--set", "evaluate.per_bucket=1", "--set", "evaluate.curve=0"]
ASKED += ["--set", "evaluate.buckets=1"]
ASKED += ["--checkpoint-every", "4steps", "--results"]


def killed(folder: Path, world: int, number: int) -> list[subprocess.Popen[str]]:
    """Start a run and signal all its processes once its first checkpoint is written."""
    before = checkpoints(folder)
    ranks = start_ranks(words(*ASKED, folder), world)
    until(lambda: checkpoints(folder) - before or any(map(ended, ranks)), "a checkpoint")
    assert not any(map(ended, ranks)), "the run ended before it could be killed"
    for rank in ranks:
        os.kill(rank.pid, number)
    return ranks


@pytest.mark.parametrize("world", [1, 2], ids=["alone", "two ranks"])
def test_sigkill_twice_ends_with_the_same_bits(world: int, tmp_path: Path) -> None:
    whole = json.loads(finished_ranks(words(*ASKED, tmp_path / "whole"), world))
    for _ in range(2):
        for rank in killed(tmp_path / "cut", world, signal.SIGKILL):
            rank.communicate()
            assert rank.returncode == -signal.SIGKILL
    cut = json.loads(finished_ranks(words(*ASKED, tmp_path / "cut"), world))
    assert cut["weights_sha256"] == whole["weights_sha256"]


def test_sigterm_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    (process,) = killed(tmp_path, 1, signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "ofa-bench resume" in told
    assert "Traceback" not in told
    assert list(tmp_path.glob("runs/*/checkpoint/*.pt"))
