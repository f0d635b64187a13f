"""The deployed front: what a user with a budget gets; and the numbers that sum it up on a board."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ofa_bench.errors import UsageError
from ofa_bench.records.schema import Coverage, Score, Summary, canonical

if TYPE_CHECKING:
    from ofa_bench.space import Space

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


def candidates_hash(subnets: Iterable[Mapping[str, Any]]) -> str:
    """Hex SHA-256 of the candidates as a set: their sorted canonical JSON, one a line."""
    lines = sorted(canonical(dict(subnet)) for subnet in subnets)
    return hashlib.sha256(b"\n".join(lines)).hexdigest()


def summarise(scores: Sequence[Score], space: Space, classes: int) -> Summary:
    """The summary of one run over its track's space (docs/evaluation-protocol.md).

    Raises UsageError where no score lies within the space's budgets.
    """
    low, high = space.macs(space.smallest, classes), space.macs(space.largest, classes)
    paper, reason = paper_accuracy(scores, space)
    first, last, share = covered(scores, low, high)
    by_macs = sorted(scores, key=lambda score: score.macs)
    return Summary(
        mean_pareto_accuracy=mean_pareto_accuracy(scores, low, high),
        mean_pareto_accuracy_paper=paper,
        mean_pareto_accuracy_paper_reason=reason,
        coverage=Coverage(low=first, high=last, share=share),
        largest_top1=by_macs[-1].top1_test,
        smallest_top1=by_macs[0].top1_test,
        selection_bonus=selection_bonus(scores, low, high),
    )


def paper_accuracy(scores: Sequence[Score], space: Space) -> tuple[float | None, str | None]:
    """The DepS paper's metric over its six uniform nets, or None and why there is none."""
    kernel = max(space.choices("kernel"))
    names = [f"k{kernel}e{expand}d{depth}" for depth, expand in PAPER_NETS]
    known = {canonical(score.subnet): score for score in scores}
    points, missing = [], []
    for name in names:
        try:
            subnet = space.subnet(name)
        except UsageError:
            return None, f"{space.name} has no net {name}"
        score = known.get(canonical(subnet.to_json()))
        if score is None:
            missing.append(name)
        else:
            points.append((float(score.macs), score.top1_test))
    if missing:
        return None, f"the method did not train {', '.join(missing)}"
    return trapezoid(points), None
