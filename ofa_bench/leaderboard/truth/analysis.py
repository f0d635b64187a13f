"""Rankings of nets against the same nets trained alone: agreement, regret, gap, noise ceiling."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ofa_bench import seeding
from ofa_bench.errors import UsageError
from ofa_bench.leaderboard.truth.agreement import LEVEL, TauArrays, agreement, ceiling, ranges

N = TypeVar("N", bound=Hashable)
Values = NDArray[np.float64]

LEAST_NETS = 4  # fewer pairs than these have say nothing
RESAMPLES = 2000
TOP = (1, 3, 5)


@dataclass(frozen=True)
class Tau:
    """A tau between -1 and 1: `measured`, and `value` without the seeds' noise, with its 95 %
    interval (see `agreement`)."""

    measured: float
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Points:
    """A difference of accuracies in points, with its 95 % interval.

    Of a loss: percentiles of a bootstrap over nets and seeds, which cover the loss on these nets by
    their expected accuracies, not what other nets would lose. Of a gap: Student's t over nets
    within ranges, which covers that of nets drawn as these were. docs/truth.md has how often.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class RankingTruth:
    """What a ranking is worth.

    `overall` is tau over all pairs of nets, `within` over pairs of one range of MACs. `regret` is
    the accuracy alone that is lost by training only the ranking's first k nets, by k, and
    `regret_within` that of taking each range's first one, the mean over ranges. `gap` is the mean
    of score less accuracy alone, of a ranking whose scores are accuracies.
    """

    name: str
    overall: Tau
    within: Tau
    regret: Mapping[int, Points]
    regret_within: Points
    gap: Points | None


@dataclass(frozen=True)
class TruthAnalysis(Generic[N]):
    """All rankings, the best by tau within ranges first. `left_out` are nets that lack a seed;
    `ranges` the MACs of the cheapest and dearest net of each range. `ceiling` and `ceiling_within`
    are tau between two seeds alone, None with one seed."""

    nets: tuple[N, ...]
    left_out: tuple[N, ...]
    seeds: int
    ranges: tuple[tuple[int, int], ...]
    rankings: tuple[RankingTruth, ...]
    ceiling: Tau | None
    ceiling_within: Tau | None


def analyse(
    rankings: Mapping[str, Mapping[N, float]],
    alone: Mapping[N, Sequence[float | None]],
    macs: Mapping[N, int],
    accuracies: Collection[str] = (),
    *,
    resampled_gap: bool = False,
) -> TruthAnalysis[N]:
    """How each ranking agrees with the nets' accuracies alone, in percent, a value for each seed.

    A net that lacks a seed (None) is left out. `accuracies` names the rankings whose scores are
    accuracies in percent, which have a gap. `resampled_gap`: its interval is that of records before
    the second version, by bootstrap. Raises UsageError where fewer than four nets are left.
    """
    ordered = sorted(alone, key=lambda net: macs[net])
    nets = tuple(net for net in ordered if None not in alone[net])
    left_out = tuple(net for net in ordered if None in alone[net])
    if len(nets) < LEAST_NETS:
        raise UsageError(
            f"{len(nets)} of {len(ordered)} nets were trained alone with every seed: too few",
            "train more with --nets, or mend what fails",
        )
    table = np.array([alone[net] for net in nets], dtype=float)
    groups = ranges(len(nets))
    drawn = BootstrapDraws(table, groups)
    made = []
    for name, scores in rankings.items():
        values = np.array([scores[net] for net in nets], dtype=float)
        gap = None
        if name in accuracies:
            gap = drawn.gap(values) if resampled_gap else mean_gap(values - table.mean(1), groups)
        made.append(_ranking(name, values, drawn, gap))
    bounds = []
    for group in np.unique(groups):
        members = [macs[nets[index]] for index in np.flatnonzero(groups == group)]
        bounds.append((members[0], members[-1]))
    several = table.shape[1] > 1
    return TruthAnalysis(
        nets,
        left_out,
        table.shape[1],
        tuple(bounds),
        tuple(sorted(made, key=lambda ranking: -ranking.within.value)),
        _tau(ceiling(table, groups, within=False)) if several else None,
        _tau(ceiling(table, groups, within=True)) if several else None,
    )


def _tau(arrays: TauArrays) -> Tau:
    return Tau(*(float(getattr(arrays, name)) for name in ("measured", "value", "low", "high")))


def mean_gap(gaps: Values, groups: NDArray[Any]) -> Points:
    """The mean of the nets' gaps [nets] with Student's 95 % interval, from their spread within
    ranges, which holds the seeds' noise too."""
    from scipy.stats import t as t_distribution

    spread = 0.0
    members = [gaps[groups == group] for group in np.unique(groups)]
    for part in members:
        spread += len(part) * float(part.var(ddof=1)) if len(part) > 1 else 0.0
    value, free = float(gaps.mean()), max(1, len(gaps) - len(members))
    half = float(t_distribution.ppf(LEVEL, free)) * spread**0.5 / len(gaps)
    return Points(value, max(-100.0, value - half), min(100.0, value + half))


def _ranking(name: str, scores: Values, drawn: BootstrapDraws, gap: Points | None) -> RankingTruth:
    table, groups = drawn.table, drawn.groups
    counts = [count for count in TOP if count < len(scores)]
    return RankingTruth(
        name,
        _tau(agreement(scores, table, groups, within=False)),
        _tau(agreement(scores, table, groups, within=True)),
        {count: drawn.regret(scores, count) for count in counts},
        drawn.regret_within(scores),
        gap,
    )


class BootstrapDraws:
    """Resamples of nets within their ranges and, for each net, of its seeds.

    The best net is picked by some seeds and valued by another, or else the pick's luck would count
    as its accuracy; with one seed it does.
    """

    def __init__(self, table: Values, groups: NDArray[Any]) -> None:
        rng = np.random.default_rng(seeding.key("truth", "bootstrap"))
        self.table, self.groups = table, groups
        starts, sizes = np.unique(groups, return_index=True, return_counts=True)[1:]
        chance = rng.random((RESAMPLES, len(table)))
        self.nets = starts[groups] + (chance * sizes[groups]).astype(int)
        order = rng.random((RESAMPLES, *table.shape)).argsort(-1)
        self.split = np.take_along_axis(table[self.nets], order, -1)
        chosen = rng.integers(0, table.shape[1], order.shape)
        self.seeds = np.take_along_axis(table[self.nets], chosen, -1)

    def gap(self, scores: Values) -> Points:
        """The mean of score less accuracy alone."""
        resampled = (scores[self.nets] - self.seeds.mean(-1)).mean(-1)
        return _points(float((scores - self.table.mean(1)).mean()), resampled)

    def regret(self, scores: Values, count: int) -> Points:
        """The accuracy lost by looking at the ranking's first `count` nets only."""
        splits = self._splits()
        point = np.mean([_lost(scores[None], split, count) for split in splits])
        return _points(float(point), _lost(scores[self.nets], self.split, count))

    def regret_within(self, scores: Values) -> Points:
        """The same for the first net of each range, the mean over ranges."""
        point, lost = [], []
        for group in np.unique(self.groups):
            members = self.groups == group
            splits = [split[:, members] for split in self._splits()]
            point.append(np.mean([_lost(scores[None, members], split, 1) for split in splits]))
            lost.append(_lost(scores[self.nets][:, members], self.split[:, members], 1))
        return _points(float(np.mean(point)), np.mean(lost, axis=0))

    def _splits(self) -> list[Values]:
        """The table with each of its seeds last in turn."""
        number = self.table.shape[1]
        return [np.roll(self.table, shift, axis=1)[None] for shift in range(number)]


def _lost(scores: Values, split: Values, count: int) -> Values:
    """Accuracy of the best net less that of the best among the ranking's first `count`, for each
    resample: picked by all seeds but the last, valued by the last one."""
    picked = split[..., :-1].mean(-1) if split.shape[-1] > 1 else split[..., -1]
    valued = split[..., -1]
    first = np.argsort(-scores, axis=-1, kind="stable")[:, :count]
    best = np.argmax(picked, axis=-1)[:, None]
    among = np.argmax(np.take_along_axis(picked, first, -1), axis=-1)[:, None]
    taken = np.take_along_axis(first, among, -1)
    lost = np.take_along_axis(valued, best, -1) - np.take_along_axis(valued, taken, -1)
    return np.asarray(lost[:, 0])


def _points(value: float, resampled: Values) -> Points:
    low, high = np.quantile(resampled, (0.025, 0.975))
    return Points(value, float(min(low, value)), float(max(high, value)))
