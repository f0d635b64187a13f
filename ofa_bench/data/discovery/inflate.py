"""Read a possibly compressed file, with bounded memory and output size. Torch-free."""

from __future__ import annotations

import bz2
import lzma
import os
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import BinaryIO

from ofa_bench.atomic_io import open_regular
from ofa_bench.errors import DataError
from ofa_bench.limits import advice, limit

PIECE = 1 << 18  # bytes out of a decoder at once
INTAKE = 1 << 16  # bytes into it
FREE = 64 << 20  # bytes that any file may unpack to, however small it is


class Gzip:
    """zlib's decompressor with the interface of the other two."""

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(wbits=31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        piece = self._decoder.decompress(self._decoder.unconsumed_tail + data, max_length)
        self.needs_input = not self._decoder.unconsumed_tail and len(piece) < max_length
        return piece


Inflater = Gzip | bz2.BZ2Decompressor | lzma.LZMADecompressor
DECODERS: dict[bytes, Callable[[], Inflater]] = {
    b"\x1f\x8b": Gzip,
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ\0": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, limit("archive-memory")),
}


class Enough(Exception):
    """The requested number of bytes was read."""


class ByteSource(ABC):
    """Bytes that are read once, from first to last; `path` is for messages."""

    path: Path

    @abstractmethod
    def some(self, most: int) -> memoryview:
        """At least one byte and at most that many; none at the end."""

    def exactly(self, count: int) -> bytes:
        """Exactly that many bytes. Raises EOFError if fewer are left."""
        parts = []
        while count:
            piece = self.some(count)
            if not piece:
                raise EOFError("it ends too early")
            parts.append(bytes(piece))
            count -= len(piece)
        return b"".join(parts)


class Unpacked(ByteSource):
    """A file's bytes, decompressed if it has the header of gzip, bzip2 or xz.

    Reading raises DataError beyond the limits archive-bytes and archive-ratio; EOFError, OSError,
    ValueError, zlib.error or lzma.LZMAError if the file is damaged.
    """

    def __init__(self, path: Path, most: int | None = None) -> None:
        """With `most`, reading more than that many bytes raises Enough."""
        self.path = path
        self._file = open_regular(path)
        packed = os.fstat(self._file.fileno()).st_size
        self._ceilings = {
            "archive-bytes": limit("archive-bytes"),
            "archive-ratio": max(FREE, packed * limit("archive-ratio")),
        }
        self._most = most
        self._pieces = _pieces(self._file)
        self._piece = memoryview(b"")
        self._count = 0

    def close(self) -> None:
        self._file.close()

    @property
    def position(self) -> int:
        """How many bytes were read, after decompression."""
        return self._count

    def some(self, most: int) -> memoryview:
        """At least one byte and at most that many; none at the end."""
        if not self._piece:
            self._piece = memoryview(next(self._pieces, b""))
        piece, self._piece = self._piece[:most], self._piece[most:]
        self._count += len(piece)
        if self._most is not None and self._count > self._most:
            raise Enough
        for name, ceiling in self._ceilings.items():
            if self._count > ceiling:
                above = f"more than {limit(name):,} times its size" * (name == "archive-ratio")
                raise DataError(
                    f"{self.path} unpacks to {above or f'more than {ceiling:,} bytes'}",
                    advice(name),
                )
        return piece


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    raw = file.read(INTAKE)
    magic = next((magic for magic in DECODERS if raw.startswith(magic)), None)
    if magic is None:
        while raw:
            yield raw
            raw = file.read(PIECE)
        return
    while raw:
        if not raw.startswith(magic):
            raise OSError("bytes that are no part of it follow its end")
        raw = yield from _stream(file, DECODERS[magic](), raw)
        while raw := raw.lstrip(b"\0") or file.read(INTAKE):  # zeros may fill up the last block
            if raw[0]:
                raw += file.read(len(magic)) if len(raw) < len(magic) else b""
                break


def _stream(file: BinaryIO, decoder: Inflater, raw: bytes) -> Generator[bytes, None, bytes]:
    """Decompress one stream of possibly several; return the bytes after it."""
    while not decoder.eof:
        if not raw and decoder.needs_input and not (raw := file.read(INTAKE)):
            raise EOFError("it ends within compressed data")
        piece, raw = decoder.decompress(raw, PIECE), b""
        if piece:
            yield piece
    return decoder.unused_data
