"""Images that are small and take minutes: found by their structure, before Pillow reads them.

Pillow reads headers, comments and text formats in Python, some in time that grows with the square
of their size, and libjpeg goes over all pixels once for each scan. Torch-free.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import NamedTuple

from ofa_bench.limits import limit

CHUNK = 12  # bytes of a PNG chunk beside its content
VALUE = 8  # what a number in a TIFF's tags counts as, however it is stored
TIFF_BYTES = {1: 1, 2: 1, 6: 1, 7: 1}  # tag types that are read as they are
PPM_HEADER = re.compile(rb"P[1-7yfF](?:\s|#[^\r\n]*[\r\n])")
PPM_WORD = re.compile(rb"(?:\s+|#[^\r\n]*)+|([^\s#]+)")
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class Excess(NamedTuple):
    """The bound that an image is over, what it would have to be, and what there is too much of."""

    limit: str
    needed: int
    what: str


def excess(raw: bytes) -> Excess | None:
    """What is too much in an image file; None where Pillow may read it."""
    checks: dict[bytes, Callable[[bytes], Excess | None]] = {
        b"\xff\xd8": _jpeg,
        b"\x89PNG\r\n\x1a\n": _png,
        b"GIF8": _gif,
        b"II": _tiff,
        b"MM": _tiff,
        b"BM": _bmp,
        b"P": _ppm,
    }
    check = next((check for magic, check in checks.items() if raw.startswith(magic)), None)
    try:
        return check(raw) if check else None
    except (struct.error, IndexError):
        return None  # cut short: Pillow says so at once


def _header(size: int, times: int = 1) -> Excess | None:
    if size * times <= limit("image-header"):
        return None
    return Excess("image-header", size * times, f"{size:,} bytes or more beside the pixels")


def _jpeg(raw: bytes) -> Excess | None:
    at, pixels, most = 2, 0, limit("image-header")
    while at < len(raw) - 3 and at <= most:
        if raw[at] != 0xFF or raw[at + 1] in (0x00, 0xFF):
            at += 1
            continue
        marker = raw[at + 1]
        if marker == 0xDA:
            break
        if marker in FRAMES:
            height, width = struct.unpack_from(">HH", raw, at + 5)
            pixels = max(pixels, height * width)
        alone = marker == 0x01 or 0xD0 <= marker <= 0xD9
        at += 2 if alone else 2 + struct.unpack_from(">H", raw, at + 2)[0]
    work = raw.count(b"\xff\xda") * pixels
    if work > limit("image-scans"):
        return Excess("image-scans", work, f"{work:,} pixels, each scan's counted")
    return _header(at)


def _png(raw: bytes) -> Excess | None:
    at, beside, most = 8, 0, limit("image-header")
    while at + 8 <= len(raw) and beside <= most:
        size, kind = struct.unpack_from(">I4s", raw, at)
        beside += CHUNK + (0 if kind == b"IDAT" else size)
        at += CHUNK + size
        if kind == b"IEND" or at > len(raw):
            break
    return _header(min(beside, len(raw)))


def _gif(raw: bytes) -> Excess | None:
    at = 13 + (3 << (raw[10] & 7) + 1 if raw[10] & 128 else 0)
    start, most = at, limit("image-header") // 4
    # Pillow adds up a comment block by block: a quarter of the bytes takes as long as elsewhere.
    while raw[at] != 0x2C and at - start <= most:
        if raw[at] != 0x21:
            at += 1
            continue
        at += 2
        while raw[at] and at - start <= most:
            at += raw[at] + 1
        at += 1
    return _header(at - start, 4)


def _tiff(raw: bytes) -> Excess | None:
    order = "<" if raw[:2] == b"II" else ">"
    big = 43 in raw[2:4]
    (start,) = struct.unpack_from(order + ("Q" if big else "I"), raw, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), raw, start)
    first, step, form = (8, 20, "HHQ") if big else (2, 12, "HHI")
    total = 0
    for number in range(min(count, limit("image-header"))):
        at = start + first + step * number
        if at + step > len(raw):
            break
        _, kind, values = struct.unpack_from(order + form, raw, at)
        total += step
        if values <= len(raw):  # more cannot be there: Pillow leaves the tag out
            total += values * TIFF_BYTES.get(kind, VALUE)
    return _header(total)


def _bmp(raw: bytes) -> Excess | None:
    (compression,) = struct.unpack_from("<I", raw, 30)
    return _slow(raw) if compression in (1, 2) else None


def _ppm(raw: bytes) -> Excess | None:
    if not PPM_HEADER.match(raw):
        return None
    words: list[bytes] = []
    at, most = 2, limit("image-header") // 4
    while len(words) < (2 if raw[1:2] in b"14" else 3) and at <= most:
        part = PPM_WORD.match(raw, at)
        if part is None:
            break
        words += [part[1]] if part[1] else []
        at = part.end()
    fast = raw[1:2] in b"4fF" or (raw[1:2] in b"56" and words[2:] in ([b"255"], [b"65535"]))
    return _header(at, 4) or (None if fast else _slow(raw))


def _slow(raw: bytes) -> Excess | None:
    if len(raw) <= limit("image-values"):
        return None
    return Excess("image-values", len(raw), f"{len(raw):,} bytes that are read value by value")
