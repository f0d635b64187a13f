"""A record's commit is that of the package, and of nobody else's repository."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ofa_bench

PACKAGE = Path(ofa_bench.__file__).parent
ASK = "from ofa_bench.runs.build_record import version_control; print(version_control())"


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=x", "-c", "user.email=x@y.z")
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("tracked", [False, True], ids=["an environment in it", "tracked"])
def test_the_commit_is_the_packages_own(tracked: bool, tmp_path: Path) -> None:
    """Installed below somebody's repository, the package has no commit."""
    site = tmp_path / ".venv" / "site-packages"
    ignored = shutil.ignore_patterns("__pycache__", "_specs")
    shutil.copytree(PACKAGE, site / "ofa_bench", ignore=ignored)
    shutil.copytree(PACKAGE.parent / "specs", site / "specs")
    (tmp_path / "mine.txt").write_text("mine")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A" if tracked else "mine.txt")
    git(tmp_path, "commit", "-qm", "mine")
    commit = git(tmp_path, "rev-parse", "HEAD")
    for path, changed in ((tmp_path / "mine.txt", False), (next(site.rglob("base.toml")), True)):
        path.write_text("changed")  # a board, say, and a spec
        done = subprocess.run(
            [sys.executable, "-c", ASK],
            capture_output=True, text=True, check=True, cwd=tmp_path, env={"PYTHONPATH": str(site)},
        )  # fmt: skip
        assert done.stdout.strip() == (f"('{commit}', {changed})" if tracked else "(None, None)")
