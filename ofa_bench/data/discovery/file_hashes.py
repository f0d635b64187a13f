"""Hash and size of every image file, computed once and kept in the user's own cache. Torch-free.

What is kept is believed only for the file that was read: same place, inode, size, and times of its
content and of its status, none of which a copy or an edit leaves as they were. Nothing is believed
that lies in the data set's own folder, since that may be a stranger's.
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
from ofa_bench.data.discovery.decoder import read_bytes, size_of
from ofa_bench.data.discovery.threads import reading_threads
from ofa_bench.errors import BenchError, DataError

VERSION = 2
PIECE_SECONDS = 2.0  # what a killed process may lose
SAMPLE = 64  # files whose kept hash is compared with their bytes whenever it is used
TICK = 50_000_000  # ns in which a second change of a file may leave it the same time stamp
Progress = Callable[[int, int], None]
"""Called with how many files are hashed and how many there are to hash."""


class FileHash(NamedTuple):
    """What is known of a file: bytes, times of content and status (ns), inode, hash, and pixels
    (0, 0: no readable header)."""

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
    """An entry for each file; those kept from earlier are reused where the file is the same.

    Of those, a random sample is compared with the bytes. What is computed is kept as the work goes
    on, whatever ends it; a cache that cannot be written only costs time. DataError names a file
    that cannot be read, or whose bytes changed while size and times did not.
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
    """Hash all files anew, and keep that; the files whose kept hash did not hold."""
    known = _load(kept, root)
    known = {name: known[name] for name in files if _current(root, name, known.get(name))}
    return [
        name
        for name, entry in _measured(root, files, kept, progress)
        if name in known and entry.digest != known[name].digest
    ]


def check_bytes(raw: bytes, digest: str, path: Path) -> None:
    """DataError where bytes that are about to be used are not those that were hashed."""
    if content_digest(raw) != digest:
        raise DataError(
            f"{path} changed after it was hashed",
            "start again: the images are another data set now; `ofa-bench data check --deep` "
            "hashes all of them anew",
        )


def content_digest(raw: bytes | bytearray | memoryview) -> str:
    """The hash that an image is known by."""
    return hashlib.blake2b(raw, digest_size=16).hexdigest()


def _measured(
    root: Path, names: Sequence[str], kept: Path, progress: Progress | None
) -> Iterator[tuple[str, FileHash]]:
    """Entries of files as they are computed, kept in pieces."""
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
    return _stamp(_stat(root / name)) == entry[:4]


def _stamp(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _measure(path: Path) -> FileHash:
    before = _stamp(_stat(path))
    raw = read_bytes(path)
    if _stamp(_stat(path)) != before or len(raw) != before[0]:
        raise DataError(f"{path} changes while it is read", "wait until it is written")
    return FileHash(*before, content_digest(raw), *size_of(raw))


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror or error}",
            "check that the file is there, and yours",
        ) from error


def _load(kept: Path, root: Path) -> dict[str, FileHash]:
    """What was kept; where that is nothing, or of another folder or version, a new file begins."""
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
    """Keep entries, but those of files so young that another change might not show."""
    old = {n: e for n, e in entries.items() if abs(time.time_ns() - e.ctime) > TICK}
    if old:
        with suppress(OSError):  # it is only a cache
            append(kept, "\n".join(["", *_lines(old), ""]))


def _lines(entries: dict[str, FileHash]) -> Iterator[str]:
    return (json.dumps([name, *entry]) for name, entry in entries.items())
