"""Hashes and sizes of image files, computed once and cached in the user's cache. Torch-free.

A cached entry is valid only for a file with the same path, inode, size, mtime and ctime, which a
copy or an edit changes. So every start asks for these four of all files; what it costs, and why a
start does without less, is in docs/performance.md. No cache in the data set's folder is used, since
that is untrusted.

The cache is a table that is mapped into memory, and beside it a log of what was hashed since the
table was written, which a stopped process leaves behind.
"""

from __future__ import annotations

import hashlib
import os
import random
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa_bench.data.discovery.decoder import read_bytes, reading, reading_threads, size_of
from ofa_bench.data.discovery.file_names import FileNames
from ofa_bench.data.discovery.manifest_table import (
    LOCK_SUFFIX,
    Entry,
    Manifest,
    append_log,
    keep_table,
    log_of,
    read_log,
    read_other_table,
    read_table,
)
from ofa_bench.data.discovery.stat_files import Stamp, stamp_of, stamps_below, stamps_elsewhere
from ofa_bench.data.discovery.unused_tables import warn_unkept
from ofa_bench.errors import BenchError, DataError
from ofa_bench.locks import exclusive

PIECE_SECONDS = 2.0  # what a killed process may lose
TABLE_SECONDS = 120.0  # between tables, so that no log grows long
STALLED_SECONDS = 180.0  # without a piece, after which others wait no longer
STAMPED, ELSEWHERE = 2_048, 32_768  # files whose stamps are asked for together
SAMPLE = 64  # files whose kept hash is compared with their bytes whenever it is used
TICK = 50_000_000  # ns in which a second change of a file may leave it the same time stamp
MANY = 10_000  # files that take seconds to hash, so that it matters if hashes cannot be kept
Progress = Callable[[str, int, int], None]
"""Called with the work ("hashing files"), and how many of how many files or folders are done."""
Measured = tuple[int, Stamp, str, tuple[int, int]]  # with the row before


def manifest(
    root: Path, files: FileNames, kept: Path, progress: Progress | None = None
) -> Manifest:
    """A row per file; cached rows are reused for unchanged files.

    A random sample of cached rows is compared with the bytes. New rows are cached continuously; if
    the cache cannot be written, they are computed again next time. Of a machine's processes that
    would compute many, one does, and the others wait for it. Raises DataError if a file cannot be
    read, or its bytes changed while size and times did not.
    """
    known, whole = _known(root, files, kept)
    current = _stamps(root, files, progress)
    with ExitStack() as stack:
        if (known.stamps != current).any(1).sum() >= MANY:
            with suppress(BenchError, OSError):  # the cache cannot be written
                lock = kept.with_suffix(LOCK_SUFFIX)
                kept.parent.mkdir(parents=True, exist_ok=True)
                alone = exclusive(
                    lock, subject=f"the images of {root}", needed=False, stalled=_Stalled(kept)
                )
                stack.enter_context(alone)
            known, whole = _known(root, files, kept)  # what another process hashed meanwhile
        stale = (known.stamps != current).any(1)
        pending, reused = np.flatnonzero(stale), np.flatnonzero(~stale)
        if len(pending) or not whole:
            known = known.writable()
            for _ in _hashed(root, known, pending, kept, progress):
                pass
    chosen = random.SystemRandom().sample(range(len(reused)), min(SAMPLE, len(reused)))
    for row, _, digest, _ in _in_threads(root, files, reused[chosen].tolist()):
        if digest != known.hex(row):
            raise DataError(
                f"{root / files[row]} holds other bytes than when it was hashed, although its size "
                "and times are the same: the disk is faulty, or something hides its changes",
                "`ofa-bench data check --deep` hashes all files anew, and names such ones",
            )
    return known if whole and not len(pending) else _mapped(kept, root, known)


class _Stalled:
    """Whether a process that hashes has kept nothing for long, as one that is suspended."""

    def __init__(self, kept: Path) -> None:
        self._files, self._seen, self._since = (kept, log_of(kept)), [(0, 0)], time.monotonic()

    def __call__(self) -> bool:
        seen, now = [], time.monotonic()
        for path in self._files:
            with suppress(OSError):
                status = path.stat()
                seen.append((status.st_mtime_ns, status.st_size))
        if seen != self._seen:
            self._seen, self._since = seen, now
        return now - self._since > STALLED_SECONDS


def audit(root: Path, files: FileNames, kept: Path, progress: Progress | None = None) -> list[str]:
    """Hash and cache all files again; return the files whose cached hash was wrong."""
    known, _ = _known(root, files, kept)
    current = (known.stamps == _stamps(root, files, progress)).all(1)
    measured = _hashed(root, known.writable(), np.arange(len(files)), kept, progress)
    return [
        files[row] for row, _, digest, _ in measured if current[row] and digest != known.hex(row)
    ]


def check_bytes(raw: bytes, digest: bytes, path: Path) -> None:
    """Raise DataError if bytes do not have the recorded hash."""
    if hashlib.blake2b(raw, digest_size=16).digest() != digest:
        raise DataError(
            f"{path} changed after it was hashed",
            "start again: the images are another data set now; `ofa-bench data check --deep` "
            "hashes all of them anew",
        )


def content_digest(raw: bytes | bytearray | memoryview) -> str:
    """The hash that identifies an image."""
    return hashlib.blake2b(raw, digest_size=16).hexdigest()


def digest_rows(digests: Sequence[str]) -> NDArray[np.uint8]:
    """Hashes as rows of bytes, uint8 [n, 16]."""
    raw = bytes.fromhex("".join(digests))
    return np.frombuffer(raw, dtype=np.uint8).reshape(len(digests), 16)


def _hashed(
    root: Path, rows: Manifest, pending: NDArray[np.int64], kept: Path, progress: Progress | None
) -> Iterator[Measured]:
    """Measure files, fill their rows in, yield them, and cache them as they come."""
    piece: list[Measured] = []
    piece_began = table_began = time.monotonic()
    try:
        names = _in_threads(root, rows.names, pending.tolist())
        for done, measured in enumerate(names, start=1):
            _fill(rows, measured)
            piece.append(measured)
            yield measured
            now = time.monotonic()
            if now - table_began > TABLE_SECONDS:
                _write(kept, root, rows, done=False)
                piece, piece_began, table_began = [], now, now
            elif now - piece_began > PIECE_SECONDS:
                _append(kept, root, rows.names, piece)
                piece, piece_began = [], now
            if progress:
                progress("hashing files", done, len(pending))
    except BaseException:
        _append(kept, root, rows.names, piece)
        raise
    _write(kept, root, rows)


def _fill(rows: Manifest, measured: Measured) -> None:
    """A row of the manifest; of a file so new that a later change might keep its times without
    its stamp, so that it is hashed again."""
    row, stamp, digest, shape = measured
    rows.stamps[row] = stamp if abs(time.time_ns() - stamp[2]) > TICK else -1
    rows.digests[row] = np.frombuffer(bytes.fromhex(digest), dtype=np.uint8)
    rows.shapes[row] = shape


def _in_threads(root: Path, names: FileNames, rows: Sequence[int]) -> Iterator[Measured]:
    if rows:
        with reading_threads() as pool:
            yield from pool.imap(lambda row: (row, *_measure(root / names[row])), rows, 16)


def _measure(path: Path) -> Entry:
    before = _stamp(path)
    raw = read_bytes(path)
    if _stamp(path) != before or len(raw) != before[0]:
        raise DataError(f"{path} changes while it is read", "wait until it is written")
    return before, content_digest(raw), size_of(raw)


def _stamp(path: Path) -> Stamp:
    with reading(path, "check that the file is there, and yours"):
        return stamp_of(path.stat())


def _stamps(root: Path, files: FileNames, progress: Progress | None) -> NDArray[np.int64]:
    """The stamps of all files, int64 [n, 4]. In threads, since a share answers many questions at
    once, and of many files in other processes."""
    stamps = np.empty((len(files), 4), dtype=np.int64)
    at_once = ELSEWHERE if len(files) > 2 * ELSEWHERE else STAMPED

    def ask(start: int) -> int:
        part = files[start : start + at_once]
        answers = stamps_elsewhere(root, part.all_encoded()) if at_once == ELSEWHERE else None
        if answers is None or len(answers) != 32 * len(part):
            answers = _asked(root, part)
        stamps[start : start + len(part)] = np.frombuffer(answers, dtype=np.int64).reshape(-1, 4)
        return start + len(part)

    with reading_threads() as pool:
        for done in pool.imap(ask, range(0, len(files), at_once)):
            if progress:
                progress("comparing files", done, len(files))
    return stamps


def _asked(root: Path, part: FileNames) -> bytes:
    """The stamps of some files. Raises DataError that names one that cannot be asked for."""
    if os.stat in os.supports_dir_fd:
        with reading(root, "check that the folder is there, and yours"):
            handle = os.open(root, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return stamps_below(handle, part.all_encoded())
        except OSError:
            pass  # one of them, which is found below
        finally:
            os.close(handle)
    return array("q", (value for name in part for value in _stamp(root / name))).tobytes()


def _known(root: Path, files: FileNames, kept: Path) -> tuple[Manifest, bool]:
    """What is cached, a row per file, with stamps -1 where nothing is; and whether it is the table
    as it is."""
    table = read_table(kept, root)
    start = read_other_table(kept, root) if table is None else table
    known = Manifest.empty(files) if start is None else _aligned(start, files)
    logged = read_log(kept, root)
    if logged:
        known = known.writable()
        for row, name in enumerate(files.all_encoded()):
            if entry := logged.get(name):
                _fill(known, (row, *entry))
    return known, known is table


def _aligned(table: Manifest, files: FileNames) -> Manifest:
    """The rows of a table in the order of these files."""
    if table.names == files:
        return table
    rows = {name: row for row, name in enumerate(table.names.all_encoded())}
    chosen = np.fromiter((rows.get(name, -1) for name in files.all_encoded()), np.int64, len(files))
    here, aligned = chosen >= 0, Manifest.empty(files)
    aligned.stamps[here] = table.stamps[chosen[here]]
    aligned.digests[here] = table.digests[chosen[here]]
    aligned.shapes[here] = table.shapes[chosen[here]]
    return aligned


def _write(kept: Path, root: Path, rows: Manifest, done: bool = True) -> None:
    """Keep the table, in which the log goes up; an equal one stays, since others may map it."""
    try:  # it is only a cache
        table = read_table(kept, root)
        if table is None or not table.equals(rows):
            keep_table(kept, root, rows, link=done)
        log_of(kept).unlink(missing_ok=True)
    except (BenchError, OSError) as error:
        if len(rows) >= MANY:
            warn_unkept(kept.parent, error)


def _mapped(kept: Path, root: Path, rows: Manifest) -> Manifest:
    """The kept table in place of equal rows in memory, so that processes share it."""
    table = read_table(kept, root)
    if table is None or table.names != rows.names:
        return rows
    same = np.array_equal(table.digests, rows.digests) and np.array_equal(table.shapes, rows.shapes)
    return table if same else rows


def _append(kept: Path, root: Path, names: FileNames, piece: Sequence[Measured]) -> None:
    """Cache what was measured, but of files so new that a later change might keep their times."""
    lines = [
        (names[row], stamp, digest, shape)
        for row, stamp, digest, shape in piece
        if abs(time.time_ns() - stamp[2]) > TICK
    ]
    with suppress(OSError):  # it is only a cache
        append_log(kept, root, lines)
