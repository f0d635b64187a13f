"""Tar archives inside tar archives, without a copy in between. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ofa_bench.atomic_io import open_regular
from ofa_bench.data.discovery.inflate import ByteSource
from ofa_bench.data.discovery.tar import Tar


class PlainFile(ByteSource):
    """A file that is not compressed, in which bytes can be left out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open_regular(path)

    def some(self, most: int) -> memoryview:
        return memoryview(self._file.read(most))

    def leave_out(self, count: int) -> None:
        """Go on that many bytes later; the end of the file may be passed."""
        self._file.seek(count, 1)

    def close(self) -> None:
        self._file.close()


class MemberBytes(ByteSource):
    """The content of a member of another archive."""

    def __init__(self, path: Path, pieces: Iterator[memoryview]) -> None:
        self.path, self._pieces, self._piece = path, pieces, memoryview(b"")

    def some(self, most: int) -> memoryview:
        if not self._piece:
            self._piece = next(self._pieces, self._piece)
        piece, self._piece = self._piece[:most], self._piece[most:]
        return piece


class SeekableTar(Tar):
    """An archive in a plain file, whose members can be left out."""

    def __init__(self, source: PlainFile) -> None:
        super().__init__(source)
        self._plain = source

    def leave_out(self) -> None:
        """Go on after the current member without reading it."""
        self._plain.leave_out(self._left)
        self._left = 0
