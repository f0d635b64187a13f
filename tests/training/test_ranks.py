"""Two gloo ranks train what one does, with batch norm."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests import preloaded

# Short: later a rounding switches a rectifier, and no two orders of summation stay together.
WORDS = ["run", "--space", "toy", "--epochs", "0.4"]
WORDS += ["--set", "evaluate.per_bucket=1", "--set", "evaluate.curve=0"]


def weights(folder: Path) -> dict[str, object]:
    (file,) = folder.glob("runs/*/weights.safetensors")
    return dict(load_file(str(file)))


@pytest.mark.parametrize("method", ["ofa", "deps"])
def test_two_ranks_agree_with_one(method: str, tmp_path: Path) -> None:
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    asked = [*WORDS, "--method", method, "--json", "--results"]
    one = [sys.executable, "-m", "ofa_bench", *asked, str(tmp_path / "one")]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    two = [sys.executable, *launch, "-m", "ofa_bench", *asked, str(tmp_path / "two")]
    for command in (one, two):
        done = preloaded.run(command, env=env, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
    left, right = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert abs(value - right[name]).max() <= 1e-5, name  # type: ignore[operator]
