"""A limit on open files that is too small is told with its remedy, wherever it is met."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests import preloaded

SMALL = "--set optim.batch=8 --set optim.norm_batch=4 --set evaluate.per_bucket=1 --epochs 1"


LIMITED = """
import resource, sys
from ofa_bench.cli.main import main
soft, hard = map(int, sys.argv[1:3])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
sys.exit(main(sys.argv[3:]))
"""


def opened(
    tmp_path: Path, soft: int, hard: int | None = None, *, shell: bool = False
) -> subprocess.CompletedProcess[str]:
    """A run on images under a limit on open files; `shell`: Python itself starts under it."""
    hard = soft if hard is None else hard
    for split in ("train", "test"):
        for name in "ab":
            (tmp_path / "tree" / split / name).mkdir(parents=True)
            for n in range(12):
                image = Image.new("RGB", (8, 8), (n * 9, len(split) * 9, ord(name)))
                image.save(tmp_path / "tree" / split / name / f"{n}.png")
    words = f"run --dataset folder --data-dir tree --space toy {SMALL} --results r --workers 4"
    if shell:
        line = f"ulimit -n {soft} && exec {sys.executable} -m ofa_bench {words}"
        done = subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
    else:
        line = [sys.executable, "-c", LIMITED, str(soft), str(hard), *words.split()]
        done = preloaded.run(line, cwd=tmp_path)
    assert "bug" not in done.stderr and "Traceback" not in done.stderr
    return done


@pytest.mark.parametrize("files", [12, 26])
def test_too_few_files(tmp_path: Path, files: int) -> None:
    done = opened(tmp_path, files, shell=files == 12)
    assert done.returncode == 1, done.stderr
    assert "ulimit -n" in done.stderr and "--workers" in done.stderr
    assert "step 1/" not in done.stderr


def test_as_many_files_as_are_said_to_be_needed_are_enough(tmp_path: Path) -> None:
    told = opened(tmp_path / "few", 64).stderr
    needed = re.search(r"4 workers need about (\d+) open files, and this process may open 64", told)
    assert needed, told
    done = opened(tmp_path / "enough", int(needed[1]), shell=True)
    assert done.returncode == 0, done.stderr


def test_the_limit_is_raised_as_far_as_it_may_be(tmp_path: Path) -> None:
    done = opened(tmp_path, 64, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    assert done.returncode == 0, done.stderr
