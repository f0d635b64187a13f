"""Tables in a cache that machines share: which are in use, and the removal of those that are not.
Torch-free.

A cluster has one home folder, where each of its machines keeps tables of its own; those of machines
that never come back are of no use to anybody.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ofa_bench.locks import attempt, share

DAY = 86_400.0  # seconds
UNUSED = 30 * DAY  # longer than clusters let a job run; another machine's table replaces it anyway
Ours = Callable[[BinaryIO], bool]
"""Whether the content of a file is what may be removed."""


def keep_in_use(file: BinaryIO) -> bool:
    """Keep other processes from removing a table until the file and all mappings of it are closed.
    False if one has removed it, or is about to, so that it counts as absent."""
    return share(file.fileno()) is not False and os.fstat(file.fileno()).st_nlink > 0


def note_use(target: int | Path) -> None:
    """Set the time of a file that is used, by its number or path, once a day."""
    with suppress(OSError, TypeError):  # where it cannot be written, or not by its number
        status = target.stat() if isinstance(target, Path) else os.fstat(target)
        if abs(time.time() - status.st_mtime) > DAY:
            os.utime(target)


def remove_unused(files: Iterable[Path], now: float, ours: Ours, spared: int = 0) -> None:
    """Remove files that were not used for `UNUSED` seconds before `now`, but for the `spared` last
    used ones.

    Only regular files of this user whose content is `ours` are removed, and none that a process
    has in use, or where the file system cannot tell. `now`: of the same clock as the files' times.
    """
    known = []
    for path in files:
        with suppress(OSError):
            status = path.lstat()
            if _is_own(status):
                known.append((status.st_mtime, path))
    for used, path in sorted(known, reverse=True)[spared:]:
        if now - used > UNUSED:
            with suppress(OSError):
                _remove(path, now, ours)


def _is_own(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_uid == getattr(os, "getuid", lambda: 0)()


def _remove(path: Path, now: float, ours: Ours) -> None:
    flags = os.O_RDWR  # a share locks no file that is open for reading alone
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    with open(os.open(path, flags), "rb") as file:
        if attempt(file.fileno()) is not True:
            return
        status, present = os.fstat(file.fileno()), path.lstat()
        same = (status.st_dev, status.st_ino) == (present.st_dev, present.st_ino)
        if same and _is_own(status) and now - status.st_mtime > UNUSED and ours(file):
            path.unlink()
