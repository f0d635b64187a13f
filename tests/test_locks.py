"""A lock is held by one process, is known by its holder, and ends with it."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ofa_bench.errors import BenchError
from ofa_bench.locks import Busy, exclusive

HOLD = """
import os, sys, time
from pathlib import Path
from ofa_bench.locks import exclusive
with exclusive(Path(sys.argv[1])):
    if sys.argv[2] == "fork" and os.fork() == 0:
        print(os.getpid(), flush=True)
    elif sys.argv[2] != "fork":
        print(os.getpid(), flush=True)
    time.sleep(60)
"""


def holder(path: Path, kind: str = "alone") -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), kind], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def test_the_holder_is_named(tmp_path: Path) -> None:
    process, pid = holder(tmp_path / "lock")
    try:
        refused = pytest.raises(Busy, match=rf"another process .*: process {pid} on ")
        with refused, exclusive(tmp_path / "lock", wait=False):
            raise AssertionError("held twice")
    finally:
        process.kill()
        process.wait()
    with exclusive(tmp_path / "lock", wait=False):
        pass


def test_a_forked_child_does_not_keep_the_lock_of_a_killed_parent(tmp_path: Path) -> None:
    process, child = holder(tmp_path / "lock", "fork")
    try:
        process.kill()
        process.wait()
        os.kill(child, 0)  # it lives on
        with exclusive(tmp_path / "lock", wait=False):
            pass
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_child_that_ends_leaves_its_parent_the_lock(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    with exclusive(tmp_path / "lock"):
        child = context.Process(target=int)
        child.start()
        child.join()
        code = (
            "import sys; from pathlib import Path; from ofa_bench.locks import *\n"
            "with exclusive(Path(sys.argv[1]), wait=False): pass"
        )
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")])
        assert done.returncode == 1


def test_waiting_ends_with_the_holder(tmp_path: Path) -> None:
    process, _ = holder(tmp_path / "lock")
    process.kill()
    began = time.monotonic()
    with exclusive(tmp_path / "lock"):
        assert time.monotonic() - began < 30
    process.wait()


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL])
@pytest.mark.parametrize("wait", [True, False])
def test_a_file_system_without_locks_is_no_other_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, wait: bool
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    messages: list[str] = []
    with exclusive(tmp_path / "lock", wait=wait, tell=messages.append):
        pass
    assert len(messages) == 1 and os.strerror(code) in messages[0], messages


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("theirs")
    (tmp_path / "lock").symlink_to(other)
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    for name in ("lock", "gone", "pipe"):
        with pytest.raises(BenchError, match="lock file"), exclusive(tmp_path / name):
            pass
    assert other.read_text() == "theirs" and not (tmp_path / "nowhere").exists()


def test_a_second_name_of_the_file_keeps_its_bytes(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("theirs")
    os.link(other, tmp_path / "lock")
    with exclusive(tmp_path / "lock"):
        pass
    assert other.read_text() == "theirs"
