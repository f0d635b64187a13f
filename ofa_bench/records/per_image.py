"""Per-image correctness: as bits, a candidate a row, a test image a bit; as an interval; and what
another test set of this size could have said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import sqrt
from typing import TYPE_CHECKING, Any

from ofa_bench.records.pareto import Scored, front, shares
from ofa_bench.records.schema import Layout

if TYPE_CHECKING:
    import numpy


Z = 1.959963984540054  # of a 95 % interval


def wilson(hits: int, images: int) -> tuple[float, float]:
    """The 95 % interval of an accuracy, in percent (Wilson, JASA 22:158, 1927)."""
    share, weight = hits / images, Z * Z / images
    middle = (share + weight / 2) / (1 + weight)
    half = Z * sqrt(share * (1 - share) / images + weight / (4 * images)) / (1 + weight)
    return 100.0 * max(middle - half, 0.0), 100.0 * min(middle + half, 1.0)


def pack(correct: Iterable[Iterable[bool]]) -> tuple[bytes, Layout]:
    """The file's bytes and layout; `correct` is [candidates, test images], in score order."""
    import numpy as np

    table = np.asarray(correct, dtype=bool)
    return np.packbits(table, axis=1).tobytes(), Layout(rows=table.shape[0], images=table.shape[1])


def row_bytes(layout: Layout) -> int:
    """Bytes of one candidate's row."""
    return -(-layout.images // 8)


def fits(raw: bytes, layout: Layout) -> bool:
    """Whether the size is the layout's and every padding bit is zero."""
    width, spare = row_bytes(layout), -layout.images % 8
    if len(raw) != width * layout.rows:
        return False
    ends = raw[width - 1 :: width] if width else b""
    return all(byte & ((1 << spare) - 1) == 0 for byte in ends)


def counts(raw: bytes, layout: Layout) -> list[int]:
    """How many test images each candidate has right."""
    width = row_bytes(layout)
    rows = (raw[row * width : (row + 1) * width] for row in range(layout.rows))
    return [int.from_bytes(row, "big").bit_count() for row in rows]


def unpack(raw: bytes, layout: Layout) -> numpy.ndarray[Any, Any]:
    """The boolean table [candidates, test images]."""
    import numpy as np

    table = np.frombuffer(raw, np.uint8).reshape(layout.rows, row_bytes(layout))
    return np.unpackbits(table, axis=1, count=layout.images).astype(bool)


def image_accuracies(
    scores: Sequence[Scored], raw: bytes, layout: Layout, low: int, high: int
) -> numpy.ndarray[Any, Any]:
    """Each test image's part in mean Pareto accuracy, in percent: how often a user's net has it
    right, over budgets low..high. Its mean is the accuracy."""
    import numpy as np

    treads = front(scores)
    weights = np.zeros(layout.rows)
    for tread, share in zip(treads, shares(treads, low, high), strict=True):
        weights[tread.candidate] = share
    return 100.0 * np.asarray(weights @ unpack(raw, layout))


def standard_error(a: Sequence[Any], b: Sequence[Any] | None = None) -> float:
    """Standard error, over test images, of a row's mean or of two rows' difference.

    Each argument is a list of `image_accuracies` arrays, one a seed; both rows saw the same images,
    so the difference is taken image by image.
    """
    import numpy as np

    values = np.mean(a, axis=0) - (np.mean(b, axis=0) if b is not None else 0.0)
    return float(np.std(values, ddof=1) / np.sqrt(values.size)) if values.size > 1 else 0.0
