"""Output whose reader is gone, or whose disk is full: training goes on, and nothing is a bug."""

from __future__ import annotations

import os
import pty
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import preloaded
from tests.running import ENDLESS, ENVIRONMENT, GUARD, checkpoints, until, words

BENCH = f"{shlex.quote(sys.executable)} -m ofa_bench"
SHORT = "--space toy --epochs 0.2 --set evaluate.per_bucket=1 --set evaluate.curve=0"


def bash(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {script}"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=GUARD,
    )


def test_training_outlives_its_reader(tmp_path: Path) -> None:
    done = bash(f"{BENCH} run {SHORT} --results {tmp_path} 2>&1 | head -1")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1 and done.stderr == ""
    assert len(list(tmp_path.rglob("records/*/*/*.json"))) == 1


def test_training_outlives_a_full_log(tmp_path: Path) -> None:
    line = words("run", *SHORT.split(), "--results", tmp_path, "--json")
    with open("/dev/full", "w") as full:
        done = preloaded.run(line, env=ENVIRONMENT, stderr=full, timeout=GUARD)
    assert done.returncode == 0 and '"weights_sha256"' in done.stdout


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("plan | head -1", 0),
        ("list methods | true", 0),
        ("plan --json > /dev/full", 1),
        ("plan > /dev/full", 1),
        ("--help > /dev/full", 1),
        ("plan 2> /dev/full", 0),
        ("plan --method nonsense 2> /dev/full", 2),
        ("list methods >&- 2>&-", 0),
    ],
)
def test_answers_that_nobody_takes(line: str, code: int) -> None:
    done = bash(f"{BENCH} {line}")
    assert done.returncode == code, done.stderr
    for word in ("Traceback", "bug", "Exception ignored"):
        assert word not in done.stderr
    if "> /dev/full" in line and code == 1:
        assert "no space left" in done.stderr


def test_ctrl_c_with_tee_names_the_line_that_goes_on(tmp_path: Path) -> None:
    run = f"{BENCH} run {' '.join(ENDLESS)} --method ofa --results {tmp_path}"
    script = f"{run} 2>&1 | tee {tmp_path / 'log'}; echo codes ${{PIPESTATUS[0]}}"
    pid, terminal = pty.fork()
    if pid == 0:
        # bash itself survives the Ctrl-C, as an interactive one does.
        os.execvpe("bash", ["bash", "-c", f"trap : INT; {script}"], ENVIRONMENT)
    try:
        until(lambda: checkpoints(tmp_path), "a checkpoint")
        os.write(terminal, b"\x03")
        shown = _read(terminal)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)
    assert "go on with: ofa-bench resume" in shown
    assert "codes 130" in shown


def _read(terminal: int) -> str:
    shown = b""
    while b"codes" not in shown:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # the terminal's other end is closed
            break
        shown += piece
    return shown.decode(errors="replace")
