"""Tables in a cache that machines share: which are in use, and the removal of those that are not.
Torch-free.

A cluster has one home folder, where each of its machines keeps tables of its own, and its jobs may
have data below paths of their own; those of machines and paths that never come back are of no use
to anybody.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from ofa_bench.locks import attempt, share
from ofa_bench.sanitize import plain_text

DAY = 86_400.0  # seconds
UNUSED = 30 * DAY  # longer than clusters let a job run; another machine's table replaces it anyway
CROWD = 64  # tables; where there are more, as of containers with new names, the others go sooner
SOON = 14 * DAY
HOME = re.compile(r".*-[0-9a-f]{12}")  # what is kept of one data folder
LONGEST_HEADER = 1 << 16
LONGEST_LINE = 1000
INVALID = (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError)
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


def warn_unkept(folder: Path, error: Exception) -> None:
    """Tell, once a folder, that what takes long to compute cannot be kept in it."""
    cause = error.__cause__ or error
    reason = getattr(cause, "strerror", None) or str(cause)
    message = f"hashes of images cannot be kept in {folder} ({reason}): every start computes them"
    warnings.warn(plain_text(f"{message} again", LONGEST_LINE), RuntimeWarning, stacklevel=2)


def header_of(raw: Any) -> Mapping[str, Any]:
    """The header of a safetensors file. Raises ValueError or TypeError."""
    size = int.from_bytes(raw[:8], "little")
    if size > LONGEST_HEADER:
        raise ValueError("its header is too long")
    header: Mapping[str, Any] = json.loads(raw[8 : 8 + size])
    return header


def described_path(file: BinaryIO) -> str | None:
    """The path of the folder, or of the big file, that a table or a log is of; None if it is of no
    such thing. Bytes that are no UTF-8 are spelled out in a table's."""
    with suppress(*INVALID):
        if file.peek(1)[:1] == b"\n":  # type: ignore[attr-defined]  # a log
            return str(json.loads(file.read(LONGEST_HEADER).split(b"\n")[1])["root"])
        title = header_of(file.read(8 + LONGEST_HEADER))["__metadata__"]
        return str(title["root"] if "root" in title else json.loads(title["title"])[2])
    return None


def remove_unused(
    files: Iterable[Path], now: float, ours: Ours, spared: int = 0, crowd: int | None = CROWD
) -> None:
    """Remove files that were not used for `UNUSED` seconds before `now`, or for `SOON` seconds
    where `crowd` others were used since, but for the `spared` last used ones.

    Only regular files of this user whose content is `ours` are removed, and none that a process
    has in use, or where the file system cannot tell. `now`: of the same clock as the files' times.
    """
    known = []
    for path in files:
        with suppress(OSError):
            status = path.lstat()
            if _is_own(status):
                known.append((status.st_mtime, path))
    for rank, (used, path) in enumerate(sorted(known, reverse=True)):
        age = UNUSED if crowd is None or rank < crowd else SOON
        if rank >= spared and now - used > age:
            with suppress(OSError):
                _remove(path, now - age, ours)


def _is_own(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_uid == getattr(os, "getuid", lambda: 0)()


def _remove(path: Path, before: float, ours: Ours) -> None:
    flags = os.O_RDWR  # a share locks no file that is open for reading alone
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    with open(os.open(path, flags), "rb") as file:
        if attempt(file.fileno()) is not True:
            return
        status, present = os.fstat(file.fileno()), path.lstat()
        same = (status.st_dev, status.st_ino) == (present.st_dev, present.st_ino)
        if same and _is_own(status) and status.st_mtime < before and ours(file):
            path.unlink()


def remove_vanished(home: Path, now: float) -> None:
    """Remove what is kept, in the folders beside `home`, of data that is not there any more, as in
    a job's scratch folder, and was not used for long."""
    for folder in _folders_beside(home):
        with suppress(OSError):
            tables = ("hashes-*.safetensors", "packed/*.safetensors")
            for names in (*tables, "hashes-*.log"):
                remove_unused(folder.glob(names), now, _is_of_nothing, crowd=None)  # a shard each
            remove_unused(folder.glob(".hashes-*.part"), now, lambda _: True)
            if not any(path for names in tables for path in folder.glob(names)):
                for names in ("decoded.bin", "hashes-*.lock"):
                    remove_unused(folder.glob(names), now, lambda _: True)
                for empty in (folder / "packed", folder):
                    with suppress(OSError):
                        empty.rmdir()


def _folders_beside(home: Path) -> Iterator[Path]:
    with suppress(OSError):
        for folder in home.parent.iterdir():
            if HOME.fullmatch(folder.name) and folder != home and not folder.is_symlink():
                yield folder


def _is_of_nothing(file: BinaryIO) -> bool:
    path = described_path(file)
    if path is None or "\\" in path:
        return False
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        pass
    return False
