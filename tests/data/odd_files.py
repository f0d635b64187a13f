"""Image files of odd kinds, written byte by byte or by Pillow, with the pixels that they stand for.

The expected pixels are written down, not decoded: `expected` is [H][W] of (red, green, blue).
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

Pixels = list[list[tuple[int, int, int]]]
RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255,) * 3, (0,) * 3


class Odd(NamedTuple):
    """A file's name, its bytes, its pixels, and how far a lossy format may be off."""

    name: str
    raw: bytes
    expected: Pixels
    tolerance: int = 0


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    width: int,
    height: int,
    depth: int,
    colour: int,
    rows: bytes,
    extra: bytes = b"",
    interlaced: int = 0,
) -> bytes:
    """A PNG file of unfiltered rows (each begins with its filter byte 0)."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    parts = [chunk(b"IHDR", header), extra, chunk(b"IDAT", zlib.compress(rows, 9))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def grey(rows: list[list[int]]) -> Pixels:
    return [[(value, value, value) for value in row] for row in rows]


def written(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def halves(left: Any, right: Any, mode: str = "RGB") -> Image.Image:
    """Sixteen pixels wide and eight high, in two halves, so that JPEG blocks are flat."""
    image = Image.new(mode, (16, 8), left)
    image.paste(right, (8, 0, 16, 8))
    return image


def flat(left: tuple[int, int, int], right: tuple[int, int, int]) -> Pixels:
    return [[left] * 8 + [right] * 8 for _ in range(8)]


def adam7(values: list[list[int]]) -> bytes:
    """Grey 8x8 values in the seven passes of an interlaced PNG."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
    rows = b""
    for x, y, dx, dy in [*passes, (0, 1, 1, 2)]:
        for row in values[y::dy]:
            rows += b"\0" + bytes(row[x::dx])
    return rows


def odd_files() -> Iterator[Odd]:
    """One file of each kind."""
    for make in _MAKERS:
        yield from make()


def _deep() -> Iterator[Odd]:
    values = [0, 255, 256, 32768, 65279, 65535]
    upper = [0, 0, 1, 128, 254, 255]
    rows = b"\0" + struct.pack(">6H", *values)
    yield Odd("grey16.png", png(6, 1, 16, 0, rows), grey([upper]))
    row = b"\0" + struct.pack(">6H", 65535, 256, 0, 0, 511, 32768)
    yield Odd("rgb16.png", png(2, 1, 16, 2, row), [[(255, 1, 0), (0, 1, 128)]])
    whole = Image.fromarray(np.array([[0, 300, 65535, 70000]], dtype=np.int32))
    yield Odd("int32.tif", written(whole, "TIFF"), grey([[0, 1, 255, 255]]))
    unit = Image.fromarray(np.array([[0.0, 0.2, 1.0, -3.0]], dtype=np.float32))
    yield Odd("float.tif", written(unit, "TIFF"), grey([[0, 51, 255, 0]]))
    large = Image.fromarray(np.array([[0.0, 100.0, 500.0]], dtype=np.float32))
    yield Odd("float-large.tif", written(large, "TIFF"), grey([[0, 51, 255]]))


def _transparent() -> Iterator[Odd]:
    palette = chunk(b"PLTE", bytes([*RED, *GREEN, *BLUE])) + chunk(b"tRNS", bytes([0, 128, 255]))
    rows = b"\0" + bytes([0, 1, 2])
    yield Odd("palette-alpha.png", png(3, 1, 8, 3, rows, palette), [[RED, GREEN, BLUE]])
    rows = b"\0" + bytes([10, 0, 200, 255])
    yield Odd("grey-alpha.png", png(2, 1, 8, 4, rows), grey([[10, 200]]))
    rows = b"\0" + bytes([1, 2, 3, 0, 250, 251, 252, 255])
    yield Odd("rgb-alpha.png", png(2, 1, 8, 6, rows), [[(1, 2, 3), (250, 251, 252)]])


def _plain() -> Iterator[Odd]:
    yield Odd("bits.png", png(8, 1, 1, 0, b"\0\xa5"), grey([[255, 0, 255, 0, 0, 255, 0, 255]]))
    values = [[8 * y + x for x in range(8)] for y in range(8)]
    yield Odd("interlaced.png", png(8, 8, 8, 0, adam7(values), interlaced=1), grey(values))
    yield Odd("plain.pgm", b"P2 3 1 255 0 7 255\n", grey([[0, 7, 255]]))
    yield Odd("plain.ppm", b"P6 2 1 255\n" + bytes([*RED, *BLUE]), [[RED, BLUE]])
    yield Odd("plain.bmp", written(halves(RED, BLUE), "BMP"), flat(RED, BLUE))
    frames = [Image.new("RGB", (16, 8), BLUE)]
    moving = written(halves(RED, GREEN), "GIF", save_all=True, append_images=frames)
    yield Odd("moving.gif", moving, flat(RED, GREEN))
    yield Odd("lossless.webp", written(halves(RED, BLUE), "WEBP", lossless=True), flat(RED, BLUE))


def _jpeg() -> Iterator[Odd]:
    mixed = flat((200, 30, 60), (10, 120, 240))
    photo = halves(mixed[0][0], mixed[0][15])
    options = {"quality": 95, "subsampling": 0}
    yield Odd("base.jpg", written(photo, "JPEG", **options), mixed, 3)
    yield Odd("progressive.jpg", written(photo, "JPEG", progressive=True, **options), mixed, 3)
    yield Odd("file.jfif", written(photo, "JPEG", **options), mixed, 3)
    turned = Image.Exif()
    turned[0x0112] = 6  # stored on its side: a viewer would turn it by 90 degrees
    yield Odd("turned.jpg", written(photo, "JPEG", exif=turned, **options), mixed, 3)
    ink = halves((255, 0, 0, 0), (0, 0, 255, 127), "CMYK")
    yield Odd("ink.jpg", written(ink, "JPEG", **options), flat((0, 255, 255), (128, 128, 0)), 3)
    pair = written(photo, "MPO", save_all=True, append_images=[halves(BLACK, WHITE)], **options)
    yield Odd("pair.jpg", pair, mixed, 3)


_MAKERS: list[Callable[[], Iterator[Odd]]] = [_deep, _transparent, _plain, _jpeg]
