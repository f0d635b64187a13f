"""From scores to the numbers a board shows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ofa_bench.errors import UsageError
from ofa_bench.records.pareto import (
    PAPER_NETS,
    covered,
    mean_pareto_accuracy,
    selection_bonus,
    trapezoid,
)
from ofa_bench.records.schema import Coverage, Score, Summary, canonical

if TYPE_CHECKING:
    from ofa_bench.space import Space


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
