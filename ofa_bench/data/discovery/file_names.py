"""Many file names in two arrays, which processes share. Torch-free."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import overload

import numpy as np
from numpy.typing import NDArray

AT_ONCE = 4096  # names that are decoded together


class FileNames(Sequence[str]):
    """File names as one block of bytes.

    A list of a million strings takes 100 MB, and is copied into every worker, page by page, as
    its reference counts are touched. `block`: uint8, the names one after the other, as
    `os.fsencode` makes them; `bounds`: int64 [n + 1], where they begin and end in it. Both may be
    views of a mapped file.
    """

    def __init__(self, block: NDArray[np.uint8], bounds: NDArray[np.int64]) -> None:
        self.block, self.bounds = block, bounds

    @classmethod
    def of(cls, names: Iterable[str]) -> FileNames:
        """The names of an iterable."""
        names = list(names)
        joined = np.frombuffer(os.fsencode("\0".join(names)), dtype=np.uint8)
        gaps = np.flatnonzero(joined == 0)
        if len(gaps) + 1 == len(names):  # of a file no name holds such a byte
            ends = np.append(gaps, len(joined)) - np.arange(len(names))
            return cls(joined[joined != 0], np.concatenate([[0], ends]))
        encoded = list(map(os.fsencode, names))
        bounds = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), bounds)

    @classmethod
    def joined(cls, parts: Sequence[FileNames]) -> FileNames:
        """The names of all parts, in their order. Cuts of the same names, one after the other, are
        put together without a copy of them."""
        cuts = pairwise(parts)
        if parts and all(a.block is b.block and a.bounds[-1] == b.bounds[0] for a, b in cuts):
            bounds = [part.bounds[:-1] for part in parts]
            return cls(parts[0].block, np.concatenate([*bounds, parts[-1].bounds[-1:]]))
        parts = [part.compact() for part in parts]
        starts = np.cumsum([0, *(len(part.block) for part in parts)])
        bounds = [part.bounds[:-1] + start for part, start in zip(parts, starts, strict=False)]
        blocks = [part.block for part in parts] or [np.zeros(0, dtype=np.uint8)]
        return cls(np.concatenate(blocks), np.concatenate([*bounds, starts[-1:]]))

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> FileNames: ...
    def __getitem__(self, index: int | slice) -> str | FileNames:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                raise IndexError("file names are cut in one piece")
            return FileNames(self.block, self.bounds[start : max(start, stop) + 1])
        return os.fsdecode(self.encoded(index))

    def encoded(self, index: int) -> bytes:
        """A name as the system has it. Raises IndexError."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"there are {len(self)} file names")
        index %= len(self)
        return self.block[self.bounds[index] : self.bounds[index + 1]].tobytes()

    def all_encoded(self) -> Iterator[bytes]:
        """All names as the system has them, in their order."""
        for start in range(0, len(self), AT_ONCE):
            bounds = self.bounds[start : start + AT_ONCE + 1]
            raw = self.block[bounds[0] : bounds[-1]].tobytes()
            ends = (bounds - bounds[0]).tolist()
            yield from (raw[a:b] for a, b in pairwise(ends))

    def __iter__(self) -> Iterator[str]:
        return map(os.fsdecode, self.all_encoded())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FileNames):
            return NotImplemented
        one, two = self.compact(), other.compact()
        return np.array_equal(one.bounds, two.bounds) and np.array_equal(one.block, two.block)

    __hash__ = None  # type: ignore[assignment]

    def compact(self) -> FileNames:
        """The same names with a block that holds nothing else."""
        first, last = int(self.bounds[0]), int(self.bounds[-1])
        if first == 0 and last == len(self.block):
            return self
        return FileNames(self.block[first:last], self.bounds - first)
