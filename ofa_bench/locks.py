"""Exclusive file locks, with a warning on file systems without locks. Torch-free."""

from __future__ import annotations

import os
import socket
import stat
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ofa_bench.errors import BenchError

TELL_AFTER = 5.0  # seconds of waiting before a person hears who is waited for
POLL = 0.1
_HELD: set[int] = set()  # descriptors of the locks that this process holds

Tell = Callable[[str], None]


class Busy(BenchError):
    """Another process holds the lock; the message names it."""


@contextmanager
def exclusive(
    path: Path,
    *,
    wait: bool = True,
    subject: str = "",
    tell: Tell | None = None,
    needed: bool = True,
    stalled: Callable[[], bool] | None = None,
) -> Iterator[bool]:
    """Hold an exclusive lock on the file `path`, created if missing, while the block runs.

    Forked children do not inherit the lock. On a file system without locks the block runs
    unlocked, `tell` (else a Python warning) reports it if the lock is `needed` and does not only
    save time, and False is yielded; so it does where the process that holds the lock is `stalled`,
    which is asked while waiting. `subject`: what the lock protects, for messages. Raises Busy if
    another process holds the lock and `wait` is false; BenchError if the file cannot be created, is
    a link, or is not a regular file.
    """
    subject = subject or str(path.parent)
    with _released(_opened(path)) as handle:
        held = _acquire(handle, subject, wait, tell or _warn, needed, stalled)
        if held:
            _sign(handle)
        yield held


def _opened(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT
    for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK"):
        flags |= getattr(os, name, 0)
    try:
        handle = os.open(path, flags, 0o644)
    except OSError as error:
        if path.is_symlink():
            raise _foreign(path, "a link") from error
        raise BenchError(
            f"cannot write {path}: {error.strerror or error}",
            "choose a folder that you may write to",
        ) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _foreign(path, "no regular file")
    return handle


def _foreign(path: Path, kind: str) -> BenchError:
    return BenchError(f"the lock file {path} is {kind}", "remove it; a new one is made")


def _acquire(
    handle: int,
    subject: str,
    wait: bool,
    tell: Tell,
    needed: bool = True,
    stalled: Callable[[], bool] | None = None,
) -> bool:
    """Acquire the lock; False if the file system does not support locks, or its holder stalls."""
    from filelock import lock_descriptor

    began, silent = time.monotonic(), True
    while True:
        try:
            if lock_descriptor(handle, blocking=False):
                return True
        except OSError as error:  # anything but contention, which is no error here
            reason = error.strerror or str(error)
            if needed:
                tell(
                    f"the file system of {subject} has no locks ({reason}): "
                    "do not let two processes work on it at once"
                )
            return False
        if not wait:
            raise Busy(
                f"another process is working on {subject}: {_holder(handle)}",
                "wait for it, or stop it",
            )
        if silent and time.monotonic() - began > TELL_AFTER:
            tell(f"waiting for another process to finish with {subject}: {_holder(handle)}")
            silent = False
        if stalled is not None and stalled():
            return False
        time.sleep(POLL)


def attempt(handle: int) -> bool | None:
    """Try to lock an open file or folder without waiting: True if acquired, False if another
    process holds it, None if the file system does not support locks."""
    from filelock import lock_descriptor

    try:
        return bool(lock_descriptor(handle, blocking=False))
    except OSError:
        return None


def share(handle: int) -> bool | None:
    """Hold a shared lock on an open file, without waiting, until its last descriptor is closed, of
    mappings and forked processes too. True if acquired, False if another process holds an exclusive
    one, None if there are no locks."""
    try:
        import fcntl
    except ImportError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


@contextmanager
def exclusive_folder(folder: Path) -> Iterator[None]:
    """As `exclusive`, with the folder itself as the lock: nothing is written into it. On a network
    share such a lock may hold on one machine only."""
    with _released(os.open(folder, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))) as handle:
        _acquire(handle, str(folder), True, _warn)
        yield


def _sign(handle: int) -> None:
    """Write process id and host into the lock file, unless the file has other hard links."""
    with suppress(OSError):
        if os.fstat(handle).st_nlink == 1:
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)


def _holder(handle: int) -> str:
    """The holder's process id and host as written in the lock file."""
    try:
        words = os.pread(handle, 300, 0).decode("ascii", "replace").split()
    except OSError:
        words = []
    if len(words) != 2 or not words[0].isdigit() or not words[1].isprintable():
        return "it left no name"
    return f"process {words[0][:12]} on {words[1]}"


@contextmanager
def _released(handle: int) -> Iterator[int]:
    """An open file that is unlocked and closed at the end, but not in a process forked meanwhile,
    where it is closed already."""
    from filelock import unlock_descriptor

    _HELD.add(handle)
    try:
        yield handle
    finally:
        if handle in _HELD:
            _HELD.discard(handle)
            with suppress(OSError):
                unlock_descriptor(handle)
            os.close(handle)


def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=5)


def _forget() -> None:
    """In a forked child: close inherited lock files, so that the lock ends with the parent."""
    while _HELD:
        with suppress(OSError):
            os.close(_HELD.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
