"""A limit on open files that is too small is told with its remedy, wherever it is met."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

SMALL = "--set optim.batch=8 --set optim.norm_batch=4 --set evaluate.per_bucket=1 --epochs 1"


@pytest.mark.parametrize("files", [12, 26])
def test_too_few_files(tmp_path: Path, files: int) -> None:
    for split in ("train", "test"):
        for name in "ab":
            (tmp_path / "tree" / split / name).mkdir(parents=True)
            for n in range(12):
                image = Image.new("RGB", (8, 8), (n * 9, len(split) * 9, ord(name)))
                image.save(tmp_path / "tree" / split / name / f"{n}.png")
    words = f"run --dataset folder --data-dir tree --space toy {SMALL} --workers 4 --results r"
    line = f"ulimit -n {files} && exec {sys.executable} -m ofa_bench {words}"
    done = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1, done.stderr
    assert "ulimit -n" in done.stderr and "--workers" in done.stderr
    assert "bug" not in done.stderr and "Traceback" not in done.stderr
