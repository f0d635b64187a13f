"""The commands of docs/deploy.md, from a run to a file that runs elsewhere, as typed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from .bare import bare_environment

PAGE = Path(__file__).resolve().parents[2] / "docs" / "deploy.md"


@pytest.mark.skipif(sys.platform == "win32", reason="links packages")
def test_the_commands_of_the_page_run(tmp_path: Path) -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## Export")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", section, re.S | re.M)
    commands = [line for kind, text in blocks if not kind for line in text.splitlines()]
    scripts = [text for kind, text in blocks if kind == "python"]
    assert len(commands) == 6 and len(scripts) == 2
    (tmp_path / "classify.py").write_text(scripts[0])
    (tmp_path / "load.py").write_text(scripts[1])
    for command in [*commands, "python3 load.py"]:
        program, *words = shlex.split(command)
        if "venv" in words:
            bare_environment(tmp_path / words[-1])  # the index is not asked: links, no pip
            continue
        if program.endswith("pip"):
            assert words == ["install", "numpy", "onnxruntime"]
            continue
        module = {"ofa-bench": [sys.executable, "-m", "ofa_bench"], "python3": [sys.executable]}
        bare = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        env = dict(os.environ) if program in module else bare
        done = subprocess.run(
            [*module.get(program, [program]), *words],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{command}: {done.stdout[-1000:]}{done.stderr[-1000:]}"
        assert done.stdout.strip()
