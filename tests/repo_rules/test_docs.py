"""Documents are held to the program: commands they name exist, those that need nothing run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests import preloaded

ROOT = Path(__file__).resolve().parents[2]
FROZEN = (Path(__file__).with_name("cli.txt")).read_text(encoding="utf-8").splitlines()
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
INSTANT = ("plan", "list", "space", "show --card")


def commands() -> list[str]:
    """Every `ofa-bench …` in backticks or in a block, without trailing prose."""
    found = []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        found += re.findall(r"`(ofa-bench [a-z][^`\n]*)`", text)
        for block in re.findall(r"```\n(.*?)```", text, re.S):
            found += re.findall(r"^(?:.* )?(ofa-bench [a-z].*)$", block, re.M)
    return sorted({command.strip() for command in found if "more seeds" not in command})


@pytest.mark.parametrize("command", commands())
def test_command_exists(command: str) -> None:
    words = shlex.split(command)
    known = [line.split() for line in FROZEN]
    heads = [line for line in known if not line[-1].startswith("-")]
    assert any(words[: len(head)] == head for head in heads), command
    for flag in (word for word in words if word.startswith("--")):
        spelled = [w for line in known if line[:2] == words[:2] for w in line[-1].split("/")]
        every = spelled + [w for line in known if line[:2] == words[:2] for w in line]
        assert any(flag in each.split("/") for each in every), f"{command}: {flag}"


@pytest.mark.parametrize(
    "command", [c for c in commands() if c.removeprefix("ofa-bench ").startswith(INSTANT)]
)
def test_instant_commands_run(command: str) -> None:
    words = [sys.executable, "-m", "ofa_bench", *shlex.split(command)[1:]]
    done = preloaded.run(words, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_ci_runs_the_documented_test_command() -> None:
    """The very line of .ci/run that finds it."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    find = next(line for line in script.splitlines() if line.startswith("command="))
    words = ["bash", "-euo", "pipefail", "-c", f'{find}; echo "$command"']
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("python3 -m venv")
    assert done.stdout.rstrip().endswith("pytest")
