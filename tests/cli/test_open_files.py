"""A limit on open files that is too small is told with its remedy, wherever it is met."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

SMALL = "--set optim.batch=8 --set optim.norm_batch=4 --set evaluate.per_bucket=1 --epochs 1"


def opened(tmp_path: Path, limit: str, workers: int = 4) -> subprocess.CompletedProcess[str]:
    """A run on images under a limit on open files."""
    for split in ("train", "test"):
        for name in "ab":
            (tmp_path / "tree" / split / name).mkdir(parents=True)
            for n in range(12):
                image = Image.new("RGB", (8, 8), (n * 9, len(split) * 9, ord(name)))
                image.save(tmp_path / "tree" / split / name / f"{n}.png")
    words = f"run --dataset folder --data-dir tree --space toy {SMALL} --results r"
    line = f"{limit} && exec {sys.executable} -m ofa_bench {words} --workers {workers}"
    done = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert "bug" not in done.stderr and "Traceback" not in done.stderr
    return done


@pytest.mark.parametrize("files", [12, 26])
def test_too_few_files(tmp_path: Path, files: int) -> None:
    done = opened(tmp_path, f"ulimit -n {files}")
    assert done.returncode == 1, done.stderr
    assert "ulimit -n" in done.stderr and "--workers" in done.stderr
    assert "step 1/" not in done.stderr


def test_as_many_files_as_are_said_to_be_needed_are_enough(tmp_path: Path) -> None:
    told = opened(tmp_path / "few", "ulimit -n 64").stderr
    needed = re.search(r"4 workers need about (\d+) open files, and this process may open 64", told)
    assert needed, told
    done = opened(tmp_path / "enough", f"ulimit -n {needed[1]}")
    assert done.returncode == 0, done.stderr


def test_the_limit_is_raised_as_far_as_it_may_be(tmp_path: Path) -> None:
    done = opened(tmp_path, "ulimit -S -n 64")
    assert done.returncode == 0, done.stderr
