"""A preloaded process is one like any other, and only where it makes no difference."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import preloaded

TELL = "import os, sys; print(os.getcwd(), os.environ['X'], os.getsid(0) == os.getpid(), sys.argv)"
HELD = "import sys, time; print('here', flush=True); time.sleep(60)"


def called(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    return preloaded.run([sys.executable, *words], **options)  # type: ignore[arg-type]


def test_it_has_what_was_asked_for(tmp_path: Path) -> None:
    env = {**os.environ, "X": "y", "PYTHONPATH": str(tmp_path)}
    done = called("-c", TELL, "a b", cwd=tmp_path, env=env, start_new_session=True)
    assert done.stdout.strip() == f"{tmp_path} y True ['-c', 'a b']"
    assert called("-c", "import sys; print(sys.path[1])", env=env).stdout.strip() == str(tmp_path)
    script = tmp_path / "script.py"
    script.write_text("import sys; print(__name__, sys.argv[1:], sys.path[0])")
    assert called(str(script), "1").stdout.strip() == f"__main__ ['1'] {tmp_path}"


@pytest.mark.parametrize(
    ("code", "left", "told"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit('no')", 1, "no"),
        ("1 / 0", 1, "ZeroDivisionError"),
        ("import os; os.abort()", -signal.SIGABRT, ""),
        ("import atexit; atexit.register(print, 'bye')", 0, ""),
    ],
)
def test_it_ends_as_python_does(code: str, left: int, told: str) -> None:
    done, real = called("-c", code), subprocess.run([sys.executable, "-c", code], text=True,
                                                    capture_output=True)  # fmt: skip
    assert done.returncode == real.returncode == left
    assert told in done.stderr and told in real.stderr
    assert done.stdout == real.stdout


def test_it_is_a_child_that_signals_reach() -> None:
    line = [sys.executable, "-c", HELD]
    with preloaded.Process(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "here\n"
        stat = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        assert int(stat[1]) == os.getpid()
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


def test_what_python_reads_when_it_starts_is_heeded() -> None:
    code = "import sys; print(sys.flags.hash_randomization, 'torch' in sys.modules)"
    assert called("-c", code).stdout.split() == ["1", "True"]
    fixed = {**os.environ, "PYTHONHASHSEED": "0"}
    assert called("-c", code, env=fixed).stdout.split() == ["0", "False"]
