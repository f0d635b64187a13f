"""The tutorial's commands, one after another, as a reader types them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests import preloaded

PAGE = Path(__file__).resolve().parents[2] / "docs" / "writing-a-plugin.md"
OFFLINE = ["--no-index", "--quiet"]
FEW = ["--set", "evaluate.per_bucket=1", "--set", "evaluate.curve=0"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tutorial")


def called(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(folder / "site")}
    command = [sys.executable, *words]
    return preloaded.run(command, cwd=folder, env=env)


def test_commands_run_in_order(folder: Path) -> None:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.S | re.M)
    lines = [line for kind, block in blocks if not kind for line in block.splitlines()]
    commands = [shlex.split(line) for line in lines]
    assert len(commands) > 8
    for program, *words in commands:
        if program == "pip":
            # Where only these tests see it: the environment is not changed.
            module = ["-m", "pip", *words, *OFFLINE, "--target", str(folder / "site")]
        else:
            # As typed, but for how many subnets are evaluated.
            module = ["-m", "ofa_bench", *words, *(FEW if words[0] in ("run", "compare") else ())]
        done = called(module, folder)
        assert done.returncode == 0, (
            f"{program} {words}: {done.stdout[-1500:]}{done.stderr[-1500:]}"
        )
    boards = list((folder / "results" / "boards").glob("digits-toy-*.md"))
    text = "".join(board.read_text(encoding="utf-8") for board in boards)
    assert all(name in text for name in ("zigzag+cosine+labels", "deps", "bignas"))


def test_snippets_run(folder: Path) -> None:
    snippets = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    script = folder / "notebook.py"
    script.write_text(snippets[0])
    done = called([str(script)], folder)
    assert done.returncode == 0, done.stderr[-1500:]
    (record,) = (folder / "results" / "records").rglob("pair*.json")
    assert "class Pair" in record.read_text(encoding="utf-8")


def test_the_packages_own_tests_pass(folder: Path) -> None:
    tests = folder / "ofa-bench-zigzag" / "tests"
    done = called(["-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests)], folder)
    assert done.returncode == 0, done.stdout[-2000:]
