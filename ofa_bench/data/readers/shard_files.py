"""Tar shards of images: which images are in each, how one is written, and whether a file is one.

What a shard holds follows from the images, their order and their labels alone, so one that another
attempt has written can be compared without a note of what that attempt did.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ofa_bench.atomic_io import durable_file, open_regular
from ofa_bench.data.discovery.decoder import SUFFIXES, reading_threads
from ofa_bench.data.discovery.file_hashes import content_digest
from ofa_bench.data.readers.image_set import ImageSet
from ofa_bench.data.readers.images import EncodedImages

AT_ONCE = 256  # images in memory between reading and writing
BLOCK, RECORD = tarfile.BLOCKSIZE, tarfile.RECORDSIZE
BESIDE = 3 * BLOCK  # bytes of a shard for each image: two headers and the label
FORMS = {b"\xff\xd8": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"RIFF": ".webp", b"BM": ".bmp"}
PART = ".part"  # follows the name of a shard that is being written


@dataclass(frozen=True, eq=False)
class PlannedShard:
    """A shard before it is written: its file name, the images of a split and which of them it
    holds, and its bytes, at most."""

    name: str
    part: ImageSet
    rows: range
    most: int

    @property
    def images(self) -> EncodedImages:
        """The images of the split."""
        assert isinstance(self.part.images, EncodedImages), "pixels were refused before"
        return self.part.images

    @property
    def size(self) -> int:
        """Its bytes exactly: tar files are filled up with zeros."""
        return _padded(self.most - RECORD + 2 * BLOCK, RECORD)

    def label(self, row: int) -> bytes:
        """What the label file of an image holds."""
        return str(self.part.labels[row]).encode()

    def image_name(self, row: int, raw: bytes) -> str:
        """An image's name in the shard, with the suffix of its file, or what its bytes say."""
        suffix = self.images.name(row).suffix.lower()
        if suffix not in SUFFIXES:
            forms = (suffix for magic, suffix in FORMS.items() if raw.startswith(magic))
            suffix = next(forms, ".jpg")
        return f"{row:09d}{suffix}"


def planned_shards(stem: str, split: str, part: ImageSet, most: int) -> list[PlannedShard]:
    """The shards of a split, of at most that many bytes each, or one image."""
    shards: list[PlannedShard] = []

    def add(rows: range, size: int) -> None:
        shards.append(PlannedShard(f"{stem}-{split}-{len(shards):06d}.tar", part, rows, size))

    images = part.images
    assert isinstance(images, EncodedImages), "pixels were refused before"
    first, size = 0, RECORD
    for index in range(len(images)):
        whole = BESIDE + _padded(images.size(index), BLOCK)
        if index > first and size + whole > most:
            add(range(first, index), size)
            first, size = index, RECORD
        size += whole
    add(range(first, len(images)), size)
    return shards


def _padded(size: int, unit: int) -> int:
    return -(-size // unit) * unit


def write_shard(folder: Path, shard: PlannedShard, advance: Callable[[], None]) -> None:
    """Write a shard, which has its name once it is whole and on the disk. `advance` is called for
    each image. Raises OSError; DataError if an image changed."""
    unfinished = folder / f"{shard.name}.{os.urandom(4).hex()}{PART}"
    try:
        with (
            durable_file(unfinished) as file,
            tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar,
        ):
            for row, raw in _read(shard):
                for name, content in (
                    (f"{row:09d}.cls", shard.label(row)),
                    (shard.image_name(row, raw), raw),  # after it: images may be large
                ):
                    tar.addfile(_member(name, len(content)), io.BytesIO(content))
                advance()
        unfinished.rename(folder / shard.name)
    finally:
        unfinished.unlink(missing_ok=True)


def _read(shard: PlannedShard) -> Iterator[tuple[int, bytes]]:
    with reading_threads() as pool:
        for start in range(0, len(shard.rows), AT_ONCE):
            piece = shard.rows[start : start + AT_ONCE]
            yield from zip(piece, pool.map(shard.images.raw, piece), strict=True)


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    return member


def is_written(path: Path, shard: PlannedShard) -> bool:
    """Whether a file is what `write_shard` would write, to the byte; images are known by their
    hashes, so none of the originals is read."""
    try:
        with open_regular(path) as file:
            return all(_is_next(file, shard, row) for row in shard.rows) and _is_end(file)
    except OSError:
        return False


def _is_next(file: BinaryIO, shard: PlannedShard, row: int) -> bool:
    """Whether an image with its label comes next."""
    label, size = shard.label(row), shard.images.size(row)
    before = _header(f"{row:09d}.cls", len(label)) + label.ljust(BLOCK, b"\0")
    if file.read(len(before)) != before:
        return False
    header, raw = file.read(BLOCK), file.read(size)
    if content_digest(raw) != shard.part.digests[row].tobytes().hex():
        return False
    rest = _padded(size, BLOCK) - size
    return header == _header(shard.image_name(row, raw), size) and file.read(rest) == bytes(rest)


def _header(name: str, size: int) -> bytes:
    return _member(name, size).tobuf(tarfile.USTAR_FORMAT)


def _is_end(file: BinaryIO) -> bool:
    """Whether nothing but the zeros at an archive's end follow."""
    content = file.tell()
    rest = _padded(content + 2 * BLOCK, RECORD) - content
    return file.read(rest + 1) == bytes(rest)
