"""The file that keeps a tree's manifest: columns that are mapped into memory, not read; and the log
of what was hashed since it was written. Torch-free.

It is a safetensors file in the user's cache, written whole. It is a cache: one that is damaged, of
another folder or of another version counts as absent.
"""

from __future__ import annotations

import json
import mmap
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from ofa_bench.atomic_io import append, open_regular, write_whole
from ofa_bench.data.discovery.file_names import FileNames
from ofa_bench.data.discovery.stat_files import Stamp
from ofa_bench.data.discovery.unused_tables import (
    INVALID,
    described_path,
    header_of,
    keep_in_use,
    note_use,
    remove_unused,
    remove_vanished,
)

VERSION = "3"
TABLE_NAME, TABLE_SUFFIX = "hashes-", ".safetensors"  # around what stands for the machine
LOG_SUFFIX, LOCK_SUFFIX = ".log", ".lock"
LONGEST_LOG = 1 << 30  # bytes
MOST_OTHERS = 4  # tables of other machines that are tried, and so never removed
MACHINE = rf"{TABLE_NAME}[0-9a-f]{{12}}"
TABLE = re.compile(rf"{MACHINE}\{TABLE_SUFFIX}")
LOG = re.compile(rf"{MACHINE}\{LOG_SUFFIX}")
UNFINISHED = re.compile(rf"\.{MACHINE}\{TABLE_SUFFIX}\.\w{{8}}\.part|{MACHINE}\{LOCK_SUFFIX}")
Shape = tuple[int, int]
Entry = tuple[Stamp, str, Shape]  # stamp, hash, width and height
COLUMNS = {
    "names": ("U8", np.uint8),
    "bounds": ("I64", np.int64),
    "stamps": ("I64", np.int64),
    "digests": ("U8", np.uint8),
    "shapes": ("I32", np.int32),
}


@dataclass(frozen=True, eq=False)
class Manifest:
    """A row per file. `stamps`: int64 [n, 4], size in bytes, mtime and ctime (ns) and inode, -1
    where the file is to be hashed (again); `digests`: uint8 [n, 16], the hashes of the bytes;
    `shapes`: int32 [n, 2], width and height, 0 where there is no readable header."""

    names: FileNames
    stamps: NDArray[np.int64]
    digests: NDArray[np.uint8]
    shapes: NDArray[np.int32]

    @classmethod
    def empty(cls, names: FileNames) -> Manifest:
        """A manifest in which no file is hashed."""
        count = len(names)
        return cls(
            names,
            np.full((count, 4), -1, dtype=np.int64),
            np.zeros((count, 16), dtype=np.uint8),
            np.zeros((count, 2), dtype=np.int32),
        )

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, part: slice) -> Manifest:
        """Some rows, as views."""
        columns = (self.stamps[part], self.digests[part], self.shapes[part])
        return Manifest(self.names[part], *columns)

    def writable(self) -> Manifest:
        """A copy that may be changed; the names are shared."""
        return Manifest(self.names, self.stamps.copy(), self.digests.copy(), self.shapes.copy())

    def equals(self, other: Manifest) -> bool:
        """Whether all columns are the same."""
        columns = ("stamps", "digests", "shapes")
        return self.names == other.names and all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in columns
        )

    def hex(self, row: int) -> str:
        """The hash of a file, as text."""
        return bytes(self.digests[row]).hex()


def _title(root: Path) -> dict[str, str]:
    """What a table is of; bytes of a path that are no UTF-8 are spelled out, as a header needs."""
    path = os.fsencode(os.path.realpath(root)).decode("utf-8", "backslashreplace")
    return {"version": VERSION, "root": path}


def write_table(path: Path, root: Path, manifest: Manifest) -> None:
    """Keep a manifest of the folder `root`. Raises BenchError if it cannot be written."""
    names = manifest.names.compact()
    columns: dict[str, NDArray[Any]] = {
        "names": names.block,
        "bounds": names.bounds,
        "stamps": manifest.stamps,
        "digests": manifest.digests,
        "shapes": manifest.shapes,
    }
    columns = {name: np.ascontiguousarray(column) for name, column in columns.items()}
    write_whole(path, save(columns, _title(root)))


def read_table(path: Path, root: Path) -> Manifest | None:
    """The manifest that was kept of the folder `root`, as read-only views of the mapped file; None
    if there is none, or one that makes no sense. No other machine removes it meanwhile."""
    try:
        with open_regular(path) as file:
            if not keep_in_use(file):
                return None
            raw = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            table = _checked(_columns(raw, _title(root)))
            note_use(file.fileno())
        return table
    except INVALID:
        return None


def read_other_table(path: Path, root: Path) -> Manifest | None:
    """The last used manifest of the folder `root` that another machine keeps beside `path`, or
    None.

    Read, not mapped, since that machine may replace it. Its rows serve where the files are on a
    share; copies of them have other stamps.
    """
    return next((table for _, table in _others(path, root)), None)


def keep_table(path: Path, root: Path, manifest: Manifest, link: bool) -> None:
    """Write a manifest of the folder `root`, or with `link` let `path` be another name of an equal
    one; and remove tables that nobody uses. Raises BenchError if it cannot be written."""
    if not (link and _link_equal_table(path, root, manifest)):
        write_table(path, root, manifest)
    remove_unused_tables(path, root)


def _link_equal_table(path: Path, root: Path, manifest: Manifest) -> bool:
    """Let `path` be another name of a table beside it that another machine keeps of the same rows,
    as of files on a share; False if there is none, or the file system has no links."""
    for other, table in _others(path, root):
        if not table.equals(manifest) or other.is_symlink():
            continue
        link = path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")
        try:
            os.link(other, link)
            link.replace(path)
        except OSError:
            return False
        finally:  # also where it was another name of `path` already
            link.unlink(missing_ok=True)
        linked = read_table(path, root)
        return linked is not None and linked.equals(manifest)
    return False


def _others(path: Path, root: Path) -> Iterator[tuple[Path, Manifest]]:
    """The last used tables of the folder `root` beside a table."""
    beside: list[tuple[int, Path]] = []
    for other in _beside(path, TABLE):
        with suppress(OSError):
            beside.append((other.stat().st_mtime_ns, other))
    for _, other in sorted(beside, reverse=True)[:MOST_OTHERS]:
        with suppress(*INVALID), open_regular(other) as file:
            yield other, _checked(_columns(file.read(), _title(root)))


def _beside(path: Path, names: re.Pattern[str]) -> Iterator[Path]:
    """Files beside a table whose names are such."""
    with suppress(OSError):
        for other in path.parent.iterdir():
            if names.fullmatch(other.name) and other != path:
                yield other


def remove_unused_tables(path: Path, root: Path) -> None:
    """Remove tables of the folder `root` that other machines keep beside `path`, which has just
    been written, and have not used for long; what killed processes left there; and tables of data
    that is gone."""
    homes = (_title(root)["root"], os.path.realpath(root))

    def ours(file: BinaryIO) -> bool:
        return described_path(file) in homes

    with suppress(OSError):
        now = path.stat().st_mtime
        remove_unused(_beside(path, TABLE), now, ours, MOST_OTHERS)
        remove_unused(_beside(path, LOG), now, ours)
        remove_unused(_beside(path, UNFINISHED), now, lambda _: True)
        remove_vanished(path.parent, now)


def _columns(raw: mmap.mmap | bytes, title: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """The columns, by the offsets in the header, which numpy compares with the file's size. Raises
    ValueError, KeyError or TypeError."""
    header, size = header_of(raw), int.from_bytes(raw[:8], "little")
    if header["__metadata__"] != title:
        raise ValueError("it is another's")
    columns: dict[str, NDArray[Any]] = {}
    for name, (kind, dtype) in COLUMNS.items():
        entry = header[name]
        if entry["dtype"] != kind:
            raise TypeError(f"{name} is {entry['dtype']}")
        first, last = entry["data_offsets"]
        count = (last - first) // np.dtype(dtype).itemsize
        flat = np.frombuffer(raw, dtype, count, 8 + size + first)
        columns[name] = flat.reshape(entry["shape"])
    return columns


def _checked(columns: Mapping[str, NDArray[Any]]) -> Manifest:
    """The manifest of columns that fit each other. Raises ValueError."""
    names, bounds = columns["names"], columns["bounds"]
    count = len(bounds) - 1
    shapes = {name: columns[name].shape for name in ("stamps", "digests", "shapes")}
    if names.ndim != 1 or bounds.ndim != 1 or count < 0 or bounds[0] != 0:
        raise ValueError("its names make no sense")
    if bounds[-1] != len(names) or (np.diff(bounds) < 0).any():
        raise ValueError("its names overlap")
    if shapes != {"stamps": (count, 4), "digests": (count, 16), "shapes": (count, 2)}:
        raise ValueError("its columns differ in length")
    if (columns["shapes"] < 0).any():
        raise ValueError("its images have negative sides")
    return Manifest(
        FileNames(names, bounds), columns["stamps"], columns["digests"], columns["shapes"]
    )


def log_of(path: Path) -> Path:
    """The log beside a table: what was hashed since the table was written."""
    return path.with_suffix(LOG_SUFFIX)


def _log_title(root: Path) -> str:
    return json.dumps({"version": VERSION, "root": os.path.realpath(root)})


def append_log(path: Path, root: Path, entries: Sequence[tuple[str, Stamp, str, Shape]]) -> None:
    """Append names with what was measured of them to the log of the table `path`. Raises OSError.

    The title is written each time, as another process may have taken the log up.
    """
    if entries:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = map(json.dumps, entries)
        append(log_of(path), "\n".join(["", _log_title(root), *lines, ""]))


def read_log(path: Path, root: Path) -> dict[bytes, Entry]:
    """The entries of the log; a line that was cut short, or of another folder, is left out."""
    entries: dict[bytes, Entry] = {}
    title, ours = _log_title(root), False
    try:
        with open_regular(log_of(path)) as file:
            if os.fstat(file.fileno()).st_size > LONGEST_LOG:
                return {}
            for raw in file:
                line = raw.decode("utf-8", "replace").strip()
                if line.startswith("{"):
                    ours = line == title
                elif ours and line:
                    with suppress(ValueError, TypeError, OverflowError):
                        name, *values = json.loads(line)
                        entries[os.fsencode(name)] = _legal(*values)
    except OSError:
        return {}
    return entries


def _legal(stamp: object, digest: object, shape: object) -> Entry:
    """The values of a line. Raises ValueError, TypeError or OverflowError."""
    numbers = np.array(stamp, dtype=np.int64), np.array(shape, dtype=np.int32)
    if [part.shape for part in numbers] != [(4,), (2,)] or numbers[1].min() < 0:
        raise ValueError("it is no stamp, or no shape")
    if len(bytes.fromhex(str(digest))) != 16:
        raise ValueError("it is no hash")
    (a, b, c, d), (width, height) = (part.tolist() for part in numbers)
    return (a, b, c, d), str(digest), (width, height)
