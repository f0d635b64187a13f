"""The deployed front: what a user with a budget gets, and the areas that sum it up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

from ofa_bench.errors import UsageError

PAPER_NETS = ((2, 3), (3, 3), (4, 3), (4, 4), (3, 6), (4, 6))  # depth, expand: the paper's six nets


class Scored(Protocol):
    """Anything with MACs and the two accuracies; a record's Score is one."""

    @property
    def macs(self) -> int: ...
    @property
    def top1_select(self) -> float: ...
    @property
    def top1_test(self) -> float: ...


class Tread(NamedTuple):
    """From `macs` on, up to the next tread, a user gets `accuracy` (percent), by this candidate."""

    macs: int
    accuracy: float
    candidate: int


def front(scores: Iterable[Scored], by: str = "select") -> list[Tread]:
    """The step function A(b): test accuracy of the net that is best on `by` with MACs <= b.

    Ties go to fewer MACs, then to the earlier candidate. `by="test"` is the optimist's front.
    """
    treads: list[Tread] = []
    best = -1.0
    for candidate, score in sorted(enumerate(scores), key=lambda pair: pair[1].macs):
        chosen = score.top1_select if by == "select" else score.top1_test
        if chosen > best:
            best = chosen
            if treads and treads[-1].macs == score.macs:
                treads.pop()
            treads.append(Tread(score.macs, score.top1_test, candidate))
    return treads


def shares(treads: Sequence[Tread], low: int, high: int) -> list[float]:
    """Each tread's share of the budgets low..high, flat right of the last; they sum to one.

    Left of the first tread nothing is imputed: there the range starts at that tread. Raises
    UsageError where the front has nothing in the range.
    """
    start = max(low, treads[0].macs) if treads else high + 1
    if start > high:
        raise UsageError(
            f"no candidate costs {high:,} MACs or less", "compare over a range that all cover"
        )
    if start == high:
        able = sum(tread.macs <= high for tread in treads)
        return [float(index == able - 1) for index in range(len(treads))]
    ends = [*(tread.macs for tread in treads[1:]), high]
    widths = [
        max(min(end, high) - max(tread.macs, start), 0)
        for tread, end in zip(treads, ends, strict=True)
    ]
    return [width / (high - start) for width in widths]


def mean_accuracy(treads: Sequence[Tread], low: int, high: int) -> float:
    """The front's mean height over budgets low..high, integrated exactly."""
    weights = shares(treads, low, high)
    return sum(w * tread.accuracy for w, tread in zip(weights, treads, strict=True))


def mean_pareto_accuracy(scores: Sequence[Scored], low: int, high: int) -> float:
    """Mean over budgets of the deployed net's test accuracy (docs/evaluation-protocol.md)."""
    return mean_accuracy(front(scores), low, high)


def selection_bonus(scores: Sequence[Scored], low: int, high: int) -> float:
    """What choosing on the test set would have added: the winner's curse others report."""
    return mean_accuracy(front(scores, "test"), low, high) - mean_pareto_accuracy(scores, low, high)


def covered(scores: Sequence[Scored], low: int, high: int) -> tuple[int, int, float]:
    """MACs of the cheapest and the dearest candidate, and their share of low..high."""
    macs = [score.macs for score in scores]
    first, last = min(macs), max(macs)
    share = (min(last, high) - max(first, low)) / (high - low) if high > low else 1.0
    return first, last, min(max(share, 0.0), 1.0)


def trapezoid(points: Iterable[tuple[float, float]]) -> float:
    """Area under (MACs, accuracy) with MACs min-max normalised, as published."""
    ordered = sorted(points)
    width = ordered[-1][0] - ordered[0][0]
    return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(ordered)) / width
