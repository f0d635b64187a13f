"""Hashes and sizes of image files, computed once and cached in the user's cache. Torch-free.

A cached entry is valid only for a file with the same path, inode, size, mtime and ctime, which a
copy or an edit changes. No cache in the data set's folder is used, since that is untrusted.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ofa_bench.atomic_io import append, open_regular, write_whole
from ofa_bench.data.discovery.decoder import read_bytes, reading, reading_threads, size_of
from ofa_bench.errors import BenchError, DataError

VERSION = 2
PIECE_SECONDS = 2.0  # what a killed process may lose
SAMPLE = 64  # files whose kept hash is compared with their bytes whenever it is used
TICK = 50_000_000  # ns in which a second change of a file may leave it the same time stamp
Progress = Callable[[int, int], None]
"""Called with how many files are hashed and how many there are to hash."""


class FileHash(NamedTuple):
    """A file's size in bytes, mtime and ctime (ns), inode, hash, and width and height (0, 0: no
    readable header)."""

    size: int
    mtime: int
    ctime: int
    inode: int
    digest: str
    width: int
    height: int


def manifest(
    root: Path, files: Sequence[str], kept: Path, progress: Progress | None = None
) -> list[FileHash]:
    """An entry per file; cached entries are reused for unchanged files.

    A random sample of cached entries is compared with the bytes. New entries are cached
    continuously; if the cache cannot be written, they are computed again next time. Raises
    DataError if a file cannot be read, or its bytes changed while size and times did not.
    """
    known = _load(kept, root)
    pending = [name for name in files if not _current(root, name, known.get(name))]
    fresh = dict(_measured(root, pending, kept, progress))
    reused = [name for name in files if name not in fresh]
    chosen = random.SystemRandom().sample(reused, min(SAMPLE, len(reused)))
    for name, entry in _in_threads(root, chosen):
        if entry.digest != known[name].digest:
            raise DataError(
                f"{root / name} holds other bytes than when it was hashed, although its size and "
                "times are the same: the disk is faulty, or something hides its changes",
                "`ofa-bench data check --deep` hashes all files anew, and names such ones",
            )
    return [fresh.get(name) or known[name] for name in files]


def audit(
    root: Path, files: Sequence[str], kept: Path, progress: Progress | None = None
) -> list[str]:
    """Hash and cache all files again; return the files whose cached hash was wrong."""
    known = _load(kept, root)
    known = {name: known[name] for name in files if _current(root, name, known.get(name))}
    return [
        name
        for name, entry in _measured(root, files, kept, progress)
        if name in known and entry.digest != known[name].digest
    ]


def check_bytes(raw: bytes, digest: str, path: Path) -> None:
    """Raise DataError if bytes do not have the recorded hash."""
    if content_digest(raw) != digest:
        raise DataError(
            f"{path} changed after it was hashed",
            "start again: the images are another data set now; `ofa-bench data check --deep` "
            "hashes all of them anew",
        )


def content_digest(raw: bytes | bytearray | memoryview) -> str:
    """The hash that identifies an image."""
    return hashlib.blake2b(raw, digest_size=16).hexdigest()


def _measured(
    root: Path, names: Sequence[str], kept: Path, progress: Progress | None
) -> Iterator[tuple[str, FileHash]]:
    """Compute and yield entries of files, and cache them in batches."""
    piece: dict[str, FileHash] = {}
    last = time.monotonic()
    try:
        for done, (name, entry) in enumerate(_in_threads(root, names), start=1):
            piece[name] = entry
            yield name, entry
            if time.monotonic() - last > PIECE_SECONDS:
                _append(kept, piece)
                piece, last = {}, time.monotonic()
            if progress:
                progress(done, len(names))
    finally:
        _append(kept, piece)


def _in_threads(root: Path, names: Sequence[str]) -> Iterator[tuple[str, FileHash]]:
    if names:
        with reading_threads() as pool:
            yield from pool.imap(lambda name: (name, _measure(root / name)), names, chunksize=16)


def _current(root: Path, name: str, entry: FileHash | None) -> bool:
    if entry is None:
        return False
    return _stamp(root / name) == entry[:4]


def _measure(path: Path) -> FileHash:
    before = _stamp(path)
    raw = read_bytes(path)
    if _stamp(path) != before or len(raw) != before[0]:
        raise DataError(f"{path} changes while it is read", "wait until it is written")
    return FileHash(*before, content_digest(raw), *size_of(raw))


def _stamp(path: Path) -> tuple[int, int, int, int]:
    with reading(path, "check that the file is there, and yours"):
        status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _load(kept: Path, root: Path) -> dict[str, FileHash]:
    """The cached entries; a new file is begun if they are absent or of another folder."""
    header = {"version": VERSION, "root": os.path.realpath(root)}
    entries: dict[str, FileHash] = {}
    count = 0
    try:
        with open_regular(kept) as file:
            if json.loads(file.readline()) != header:
                raise ValueError("it is another's")
            for line in file:
                count += 1
                with suppress(ValueError, TypeError):  # a line cut short by a kill
                    name, *values = json.loads(line)
                    entries[name] = FileHash(*values)
    except (OSError, ValueError):
        entries = {}
    if not entries or count > 2 * len(entries) + 1000:
        with suppress(BenchError):  # it is only a cache
            write_whole(kept, "\n".join([json.dumps(header), *_lines(entries)]) + "\n")
    return entries


def _append(kept: Path, entries: dict[str, FileHash]) -> None:
    """Cache entries, except of files so new that a later change might keep their times."""
    old = {n: e for n, e in entries.items() if abs(time.time_ns() - e.ctime) > TICK}
    if old:
        with suppress(OSError):  # it is only a cache
            append(kept, "\n".join(["", *_lines(old), ""]))


def _lines(entries: dict[str, FileHash]) -> Iterator[str]:
    return (json.dumps([name, *entry]) for name, entry in entries.items())
