"""The commands of docs/deploy.md, from a run to a file that runs elsewhere, as typed."""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ofa_bench.cli.main import main

from .bare import bare_environment

PAGE = Path(__file__).resolve().parents[2] / "docs" / "deploy.md"


@pytest.mark.skipif(sys.platform == "win32", reason="links packages")
def test_the_commands_of_the_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## Export")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", section, re.S | re.M)
    commands = [line for kind, text in blocks if not kind for line in text.splitlines()]
    scripts = [text for kind, text in blocks if kind == "python"]
    assert len(commands) == 6 and len(scripts) == 2
    (tmp_path / "classify.py").write_text(scripts[0])
    (tmp_path / "load.py").write_text(scripts[1])
    monkeypatch.chdir(tmp_path)
    for command in commands:
        program, *words = shlex.split(command)
        if program == "ofa-bench":
            assert main(words) == 0, f"{command}: {capsys.readouterr().err[-1000:]}"
        elif "venv" in words:
            bare_environment(Path(words[-1]))  # the index is not asked: links, no pip
        elif program.endswith("pip"):
            assert words == ["install", "numpy", "onnxruntime"]
        else:
            line = [program, "-I", *words]
            done = subprocess.run(line, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, f"{command}: {done.stderr[-1000:]}"
            answers = re.findall(r"'(\d)'", done.stdout)
            assert len(answers) == 5
    capsys.readouterr()
    runpy.run_path("load.py")
    assert capsys.readouterr().out.strip() in [str(digit) for digit in range(10)]
