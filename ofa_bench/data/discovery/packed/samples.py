"""What one shard or parquet file holds, as arrays, kept in the user's cache. Torch-free.

A kept table is valid only for a file with the same path, inode, size, mtime and ctime. It is named
by them, so that machines with one home folder have one table of a file on a share, and tables of
their own where the same path is on disks of their own.
"""

from __future__ import annotations

import json
import os
import random
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ofa_bench.atomic_io import write_whole
from ofa_bench.data.discovery.decoder import reading, reading_threads, size_of
from ofa_bench.data.discovery.file_hashes import TICK, Progress, content_digest
from ofa_bench.data.discovery.unused_tables import (
    described_path,
    note_use,
    remove_unused,
    remove_vanished,
    warn_unkept,
)
from ofa_bench.errors import BenchError, DataError
from ofa_bench.seeding import digest

VERSION = 1
NO_TABLE = (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError)
TABLE = re.compile(r"([0-9a-f]{20})-[0-9a-f]{12}\.safetensors")  # by path, by stamp
MUCH = 32 << 20  # bytes of images in a file, so that it matters if they are read at every start
NOWHERE = -1  # the offset of an image whose bytes do not lie in the file as they are


COLUMNS: dict[str, tuple[Any, ...]] = {  # of a kept table: type, lowest value, and shape of a row
    "keys": (np.uint64, 0),
    "spans": (np.int64, NOWHERE, 2),
    "rows": (np.int32, 0, 2),
    "labels": (np.int64, np.iinfo(np.int64).min),
    "hashes": (np.uint8, 0, 16),
    "shapes": (np.int64, 0, 2),
}


class PackedImage(NamedTuple):
    """One image: its name, the first byte and the number of bytes in the file, (row group, row) or
    (0, 0), label, hash, and width and height (0, 0: no readable header)."""

    name: bytes
    span: tuple[int, int]
    row: tuple[int, int]
    label: int
    content: bytes
    shape: tuple[int, int]


@dataclass(frozen=True)
class Samples:
    """The images of one file or of several, a row each.

    `names`: bytes [n]; `keys`: uint64 [n], equal where two names differ by their suffix alone;
    `spans`: int64 [n, 2], first byte (or NOWHERE) and number of bytes; `rows`: int32 [n, 2], row
    group and row; `labels`: int64 [n]; `hashes`: uint8 [n, 16]; `shapes`: int64 [n, 2], width and
    height.
    """

    names: NDArray[np.bytes_]
    keys: NDArray[np.uint64]
    spans: NDArray[np.int64]
    rows: NDArray[np.int32]
    labels: NDArray[np.int64]
    hashes: NDArray[np.uint8]
    shapes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, order: NDArray[Any]) -> Samples:
        """The same images in another order, or some of them."""
        return Samples(*(getattr(self, field.name)[order] for field in fields(self)))


def samples_of(samples: Sequence[PackedImage]) -> Samples:
    """Images as arrays."""
    count = len(samples)
    keys = [digest_of(sample.name.rpartition(b".")[0]) for sample in samples]
    names, spans, rows, labels, contents, shapes = zip(*samples, strict=True) if count else [()] * 6
    return Samples(
        np.array(names, dtype="S") if count else np.empty(0, dtype="S1"),
        np.array(keys, dtype=np.uint64),
        np.array(spans, dtype=np.int64).reshape(count, 2),
        np.array(rows, dtype=np.int32).reshape(count, 2),
        np.array(labels, dtype=np.int64),
        np.frombuffer(b"".join(contents), dtype=np.uint8).reshape(count, 16),
        np.array(shapes, dtype=np.int64).reshape(count, 2),
    )


def joined(parts: Sequence[Samples]) -> Samples:
    """The images of several files, one file after the other."""
    columns = (field.name for field in fields(Samples))
    return Samples(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))


def digest_of(key: bytes) -> int:
    """64 bits that stand for a sample's key."""
    return int(content_digest(key)[:16], 16)


def measured(
    name: bytes, span: tuple[int, int], row: tuple[int, int], label: int, raw: bytes
) -> PackedImage:
    """A sample, from its image's bytes."""
    content = bytes.fromhex(content_digest(raw))
    return PackedImage(name, span, row, label, content, size_of(raw))


Stamp = tuple[int, int, int, int]
Proceed = Callable[[], None]
"""Called by a reader for each image: it raises where nobody waits for the file any more."""
Reader = Callable[[Path, Proceed], Samples]


class _Stopped(Exception):
    """The reading of files was interrupted."""


def proceeding() -> None:
    """Go on, whatever happens."""


def stamp(path: Path) -> Stamp:
    """A file's size, mtime and ctime (ns), and inode."""
    with reading(path, "check that the file is there, and yours"):
        status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def kept_samples(
    files: Sequence[Path],
    home: Path,
    purpose: str,
    reader: Reader,
    progress: Progress | None = None,
    anew: bool = False,
) -> list[Samples]:
    """The samples of each file: kept ones for unchanged files, others read now and kept.

    `home`: the folder they are kept in. `purpose`: what they depend on besides the file. With
    `anew` nothing that was kept is used. Files are read in random order, so that processes that
    begin at once share the work. Raises what `reader` raises; DataError if a file changes
    meanwhile.
    """
    tables: dict[Path, Samples] = {}
    written: list[Path] = []
    stopped = threading.Event()

    def proceed() -> None:
        if stopped.is_set():
            raise _Stopped

    def one(path: Path) -> tuple[Path, Samples]:
        before = stamp(path)
        kept, title = _kept_table(path, home, purpose, before)
        table = None if anew else _load(kept, title)
        if table is None:
            table = _unchanged(path, before, reader(path, proceed))
            if abs(time.time_ns() - before[2]) > TICK:  # a later change has another time then
                _keep(kept, title, table)
                written.append(kept)
        return path, table

    order = random.SystemRandom().sample(files, len(files))
    with reading_threads() as pool:
        try:
            for path, table in pool.imap_unordered(one, order):
                tables[path] = table
                if progress:
                    progress("hashing shards", len(tables), len(files))
        finally:  # the pool waits for files that are being read, and they may be large
            stopped.set()
    if written:
        _remove_unused(files, home, written[-1])
    return [tables[path] for path in files]


def _unchanged(path: Path, before: Stamp, table: Samples) -> Samples:
    """The table of a file. Raises DataError if the file is another by now."""
    if stamp(path) != before:
        raise DataError(f"{path} changes while it is read", "wait until it is written")
    return table


def _kept_table(path: Path, home: Path, purpose: str, status: Stamp) -> tuple[Path, str]:
    """The file that a table is kept in, and its title."""
    real = os.path.realpath(path)
    title = json.dumps([VERSION, purpose, real, *status])
    return home / f"{_mark(real)}-{digest(title)[:12]}.safetensors", title


def _mark(real: str) -> str:
    return digest(real)[:20]


def _remove_unused(files: Sequence[Path], home: Path, newest: Path) -> None:
    """Remove tables of these files, as they were or as other machines have them, that have not been
    used for long."""
    paths = {_mark(os.path.realpath(path)): os.path.realpath(path) for path in files}

    def ours(file: BinaryIO) -> bool:
        path = described_path(file)
        return path is not None and paths.get(_mark(path)) == path

    with suppress(OSError):
        now = newest.stat().st_mtime
        versions: defaultdict[str, list[Path]] = defaultdict(list)
        for path in home.iterdir():
            match = TABLE.fullmatch(path.name)
            if match and match[1] in paths:
                versions[match[1]].append(path)
        for tables in versions.values():
            remove_unused(tables, now, ours)
        remove_vanished(home.parent, now)


def _load(kept: Path, title: str) -> Samples | None:
    try:
        with safe_open(kept, framework="numpy") as file:
            if file.metadata()["title"] != title:
                return None
            columns = {field.name: file.get_tensor(field.name) for field in fields(Samples)}
        columns["names"] = _checked_names(columns)
        note_use(kept)
        return Samples(**columns)
    except NO_TABLE:
        return None


def _checked_names(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.bytes_]:
    """The names among columns that fit each other. Raises ValueError."""
    names = np.ascontiguousarray(columns["names"])
    if names.ndim != 2 or names.dtype != np.uint8 or not names.shape[1]:
        raise ValueError("its names make no sense")
    for name, (kind, lowest, *shape) in COLUMNS.items():
        column = columns[name]
        if column.dtype != kind or column.shape != (len(names), *shape):
            raise ValueError(f"its {name} are of another form")
        if column.size and column.min() < lowest:
            raise ValueError(f"its {name} are out of range")
    return names.view(f"S{names.shape[1]}").reshape(-1)


def _keep(kept: Path, title: str, table: Samples) -> None:
    columns = {field.name: getattr(table, field.name) for field in fields(table)}
    names = np.ascontiguousarray(table.names)
    columns["names"] = names.view(np.uint8).reshape(len(names), names.itemsize)
    try:  # it is only a cache
        write_whole(kept, save(columns, {"title": title}), durable=False)
    except BenchError as error:
        if table.spans[:, 1].sum() >= MUCH:
            warn_unkept(kept.parent, error)
