"""Hash and size of every image file, computed once and kept beside the data. Torch-free."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ofa_bench.data.decoder import read_bytes, size_of
from ofa_bench.data.threads import reading_threads
from ofa_bench.errors import BenchError, DataError
from ofa_bench.files import write_whole

VERSION = 1
Progress = Callable[[int, int], None]
"""Called with how many files are hashed and how many there are to hash."""


class Entry(NamedTuple):
    """What is known of a file: bytes, time stamp (ns), hash, pixels (0, 0: no readable header)."""

    size: int
    mtime: int
    digest: str
    width: int
    height: int


def manifest(
    root: Path, files: Sequence[str], kept: Path, progress: Progress | None = None
) -> list[Entry]:
    """An entry for each file; those kept from earlier are reused where size and time agree.

    What is known is kept even if the work is interrupted, and a cache that cannot be written only
    costs time. DataError names a file that cannot be read.
    """
    known = _load(kept)
    fresh: dict[str, Entry] = {}
    pending = [name for name in files if not _current(root, name, known.get(name))]
    try:
        with reading_threads() as pool:
            found = pool.imap(lambda name: (name, _measure(root / name)), pending, chunksize=32)
            for done, (name, entry) in enumerate(found, start=1):
                fresh[name] = entry
                if progress:
                    progress(done, len(pending))
    finally:
        if fresh:
            _save(kept, {**known, **fresh})
    return [fresh.get(name) or known[name] for name in files]


def _current(root: Path, name: str, entry: Entry | None) -> bool:
    if entry is None:
        return False
    stat = _stat(root / name)
    return (stat.st_size, stat.st_mtime_ns) == (entry.size, entry.mtime)


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error


def _measure(path: Path) -> Entry:
    stat = _stat(path)
    raw = read_bytes(path)
    content = hashlib.blake2b(raw, digest_size=16).hexdigest()
    return Entry(stat.st_size, stat.st_mtime_ns, content, *size_of(raw))


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(
        f"cannot read {path}: {error.strerror or error}", "check that the file is there, and yours"
    )


def _load(kept: Path) -> dict[str, Entry]:
    try:
        stored = json.loads(kept.read_bytes())
        if stored["version"] != VERSION:
            return {}
        return {name: Entry(*values) for name, values in stored["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # Absent or damaged: it is only a cache.


def _save(kept: Path, entries: dict[str, Entry]) -> None:
    try:
        write_whole(kept, json.dumps({"version": VERSION, "files": entries}))
    except BenchError:
        return
