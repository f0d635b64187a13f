"""Two gloo ranks train what one does, with batch norm."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.running import finished_ranks, words

# Short: later a rounding switches a rectifier, and no two orders of summation stay together.
WORDS = ["run", "--space", "toy", "--epochs", "0.4"]
WORDS += ["--set", "evaluate.per_bucket=1", "--set", "evaluate.curve=0"]
WORDS += ["--set", "evaluate.buckets=1"]


def weights(folder: Path) -> dict[str, object]:
    (file,) = folder.glob("runs/*/weights.safetensors")
    return dict(load_file(str(file)))


@pytest.mark.parametrize("method", ["ofa", "deps"])
def test_two_ranks_agree_with_one(method: str, tmp_path: Path) -> None:
    asked = (*WORDS, "--method", method, "--results")
    for world, name in ((1, "one"), (2, "two")):
        finished_ranks(words(*asked, tmp_path / name), world)
    left, right = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert abs(value - right[name]).max() <= 1e-5, name  # type: ignore[operator]
