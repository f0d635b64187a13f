"""Atomic file writes, and checks against symbolic links in folders that the tool writes to."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ofa_bench.errors import BenchError


def write_whole(
    path: Path,
    data: bytes | str,
    *,
    exclusive: bool = False,
    root: Path | None = None,
    durable: bool = True,
) -> None:
    """Write a file atomically: temporary file, fsync, rename. Readers never see a partial file.

    With `exclusive`, an existing file is kept and FileExistsError raised. With `root`, symbolic
    links below that folder are not followed. Without `durable` there is no fsync, and a power
    failure may tear the file. Raises BenchError if the disk is full or the folder is not writable.
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
        if durable:
            sync(beside)
        beside.chmod(0o644)
        if exclusive:
            os.link(beside, path)
        else:
            beside.replace(path)
        if durable:
            sync(path.parent)
    except OSError as error:
        if exclusive and beside is not None and isinstance(error, FileExistsError):
            raise
        raise unwritable(path, error) from error  # also where a folder above is a file, or a link
    finally:
        if beside is not None:
            beside.unlink(missing_ok=True)


def make_folder(root: Path, folder: Path) -> None:
    """Create a folder below a root that the user named; existing folders are kept.

    The root itself may be a symbolic link; links below it are refused, since they may come with an
    untrusted tree. Raises BenchError on a link, or if the folder cannot be created.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        path = root
        for part in folder.relative_to(root).parts:
            path = path / part
            try:
                path.mkdir()
            except FileExistsError as error:
                mode = path.lstat().st_mode
                if not stat.S_ISDIR(mode):
                    kind = "a link, which is not followed" if stat.S_ISLNK(mode) else "no folder"
                    hint = "remove it; a folder is made in its stead"
                    raise BenchError(f"{path} is {kind}", hint) from error
    except OSError as error:
        raise unwritable(folder, error) from error


@contextmanager
def new_folder(home: Path, prefix: str) -> Iterator[Path]:
    """A folder that is filled beside `home` and takes its name where the block ends well; otherwise
    it goes away. Raises OSError."""
    fresh = Path(tempfile.mkdtemp(prefix=prefix, dir=home.parent))
    try:
        yield fresh
        fresh.chmod(0o755)
        fresh.rename(home)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


@contextmanager
def durable_file(path: Path) -> Iterator[BinaryIO]:
    """A new file that is on the disk where the block ends, with the read permissions of a folder.
    Raises OSError."""
    with open(path, "xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o644)


def refuse_links(folder: Path) -> None:
    """Raise BenchError if a folder that only this tool writes to contains a symbolic link: writing
    through it would change files elsewhere."""
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(parent, name)
            if path.is_symlink():
                raise BenchError(f"{path} is a link, which is not followed", "remove it")


def append(path: Path, text: str) -> None:
    """Append to a file in one write, without following a link. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
    handle = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o644)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading bytes. Raises OSError for a pipe, a device or a folder.

    Links are followed, so that data may be on another disk; their target must be regular too.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    handle = os.open(path, flags | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(f"{path} is no regular file")
    return os.fdopen(handle, "rb")


def unwritable(path: Path, error: OSError) -> BenchError:
    """The error for a full disk or a folder that is not writable."""
    return BenchError(
        f"cannot write {path}: {error.strerror or error}",
        "free some space or choose another folder with --results DIR",
    )


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
