"""Test-set noise, from per-image bits: what another test set of this size could have said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ofa_bench.records.pareto import Scored, front, shares
from ofa_bench.records.per_image import unpack
from ofa_bench.records.schema import Layout

if TYPE_CHECKING:
    import numpy


def per_image(
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

    Each argument is a list of `per_image` arrays, one a seed; both rows saw the same images, so
    the difference is taken image by image.
    """
    import numpy as np

    values = np.mean(a, axis=0) - (np.mean(b, axis=0) if b is not None else 0.0)
    return float(np.std(values, ddof=1) / np.sqrt(values.size)) if values.size > 1 else 0.0
