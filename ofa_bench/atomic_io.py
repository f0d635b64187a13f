"""Files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import BinaryIO

from ofa_bench.errors import BenchError


def write_whole(
    path: Path, data: bytes | str, *, exclusive: bool = False, root: Path | None = None
) -> None:
    """Write beside, fsync, rename; readers see the old file or the new one, never a part.

    With `exclusive`, an existing file is left alone and FileExistsError raised. With `root`, a
    folder that somebody named, no link below it is followed. Raises BenchError when the disk is
    full or the folder may not be written.
    """
    raw = data.encode() if isinstance(data, str) else data
    beside: Path | None = None
    try:
        if root is None:
            path.parent.mkdir(parents=True, exist_ok=True)
        else:
            make_folder(root, path.parent)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
        beside = Path(name)
        beside.write_bytes(raw)
        _sync(beside)
        beside.chmod(0o644)
        if exclusive:
            os.link(beside, path)
        else:
            beside.replace(path)
        _sync(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if beside is not None:
            beside.unlink(missing_ok=True)


def make_folder(root: Path, folder: Path) -> None:
    """Make a folder of ours, below a root that somebody named; what is there already stays.

    The root may be reached through links. Below it none is followed: whoever gave us the tree may
    have put one where ours belongs. BenchError names it, or says that the folder cannot be made.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        path = root
        for part in folder.relative_to(root).parts:
            path = path / part
            try:
                path.mkdir()
            except FileExistsError as error:
                check_folder(path, error)
    except OSError as error:
        raise unwritable(folder, error) from error


def check_folder(path: Path, error: OSError | None = None) -> None:
    """BenchError where something other than a folder stands where one of ours belongs."""
    mode = path.lstat().st_mode
    if not stat.S_ISDIR(mode):
        kind = "a link, which is not followed" if stat.S_ISLNK(mode) else "no folder"
        raise BenchError(f"{path} is {kind}", "remove it; a folder is made in its stead") from error


def refuse_links(folder: Path) -> None:
    """BenchError where a link lies in a folder that only we fill: a stranger put it there, and
    whatever is written to it would be written elsewhere."""
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(parent, name)
            if path.is_symlink():
                raise BenchError(f"{path} is a link, which is not followed", "remove it")


def append(path: Path, text: str) -> None:
    """Add to a file's end in one write, without following a link; OSError where it cannot be."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
    handle = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o644)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading, as bytes; OSError where it is a pipe, a device or a folder.

    A link is followed: it may lead to another disk, but to nothing that would hang or never end.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    handle = os.open(path, flags | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(f"{path} is no regular file")
    return os.fdopen(handle, "rb")


def unwritable(path: Path, error: OSError) -> BenchError:
    """What to say where the disk is full or the folder may not be written."""
    return BenchError(
        f"cannot write {path}: {error.strerror or error}",
        "free some space or choose another folder with --results DIR",
    )


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
