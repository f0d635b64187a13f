"""The classes in a devkit's meta.mat. Torch-free.

SciPy's reader is not used: it reserves what an array's header says, and follows cells within cells
as deep as they go. Here one table is read, and of it three columns of numbers and texts. The format
is level 5 of "MAT-File Format" (MathWorks): elements of a kind, a size and so many bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from ofa_bench.limits import limit

HEADER = 128
COMPRESSED, MATRIX = 15, 14
STRUCT = 2  # class of an array of records
NUMBERS = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 9: "d", 12: "q", 13: "Q"}
TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le"}
DAMAGE = (struct.error, zlib.error, StopIteration, LookupError, TypeError, OverflowError)
TABLE = "synsets"
ID, NAME, CHILDREN = "ILSVRC2012_ID", "WNID", "num_children"


def class_names(raw: bytes) -> dict[int, str]:
    """The WordNet name of each id in the table `synsets`, of classes without classes below them.

    Raises ValueError if there is no such table, or it is damaged.
    """
    if raw[124:128] != b"\x00\x01IM":
        raise ValueError("it is no MATLAB file of level 5 in little-endian order")
    try:
        for kind, body in _elements(memoryview(raw)[HEADER:]):
            if kind == COMPRESSED:
                kind, body = next(_elements(memoryview(_inflated(body))), (0, body))
            names = _table(body) if kind == MATRIX else None
            if names:
                return names
    except DAMAGE as error:
        raise ValueError(f"it is damaged ({error or type(error).__name__})") from error
    raise ValueError(f"it has no table {TABLE} with {ID} and {NAME}")


def _elements(raw: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Kind and bytes of elements that follow each other."""
    start = 0
    while start < len(raw):
        kind, size = struct.unpack_from("<II", raw, start)
        if kind >> 16:  # four bytes at most, which stand in the head itself
            size = min(kind >> 16, 4)
            yield kind & 0xFFFF, raw[start + 4 : start + 4 + size]
            start += 8
            continue
        body = raw[start + 8 : start + 8 + size]
        if len(body) < size:
            raise ValueError("it is cut short")
        yield kind, body
        start += 8 + size + (-size % 8 if kind != COMPRESSED else 0)


def _inflated(packed: memoryview) -> bytes:
    most = limit("label-list-bytes")
    decoder = zlib.decompressobj()
    raw = decoder.decompress(packed, most)
    if decoder.unconsumed_tail:
        raise ValueError(f"it unpacks to more than {most:,} bytes")
    return raw


def _table(matrix: memoryview) -> dict[int, str] | None:
    """Ids and names of an array of records; None if it is another array."""
    parts = _elements(matrix)
    flags, _, name = next(parts)[1], next(parts), next(parts)[1]
    if flags[0] != STRUCT or bytes(name) != TABLE.encode():
        return None
    (length,) = struct.unpack("<i", next(parts)[1])
    if length <= 0:
        raise ValueError("its fields have no names")
    titles = bytes(next(parts)[1])
    fields = [
        titles[start : start + length].partition(b"\0")[0].decode("ascii")
        for start in range(0, len(titles), length)
    ]
    if not {ID, NAME, CHILDREN} <= set(fields):
        return None
    names: dict[int, str] = {}
    row: dict[str, float | str] = {}
    for index, (_, cell) in enumerate(parts):
        field = fields[index % len(fields)]
        if field in (ID, NAME, CHILDREN):
            row[field] = _value(cell)
        if index % len(fields) == len(fields) - 1:
            if not row[CHILDREN]:
                names[int(row[ID])] = str(row[NAME])
            row = {}
    return names


def _value(matrix: memoryview) -> float | str:
    """The first number, or the text, of an array."""
    parts = _elements(matrix)
    character = next(parts)[1][0] == 4
    next(parts)
    next(parts)
    kind, body = next(parts)
    if character:
        return bytes(body).decode(TEXTS[kind]) if kind in TEXTS else ""
    number: float = struct.unpack_from("<" + NUMBERS.get(kind, "d"), body)[0]
    return number
