"""How often intervals hold the truth, kind by kind of world: those of tau, with the percentile
bootstrap over nets and seeds beside them; those of losses and gaps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ofa_bench.leaderboard.truth.agreement import agreement
from ofa_bench.leaderboard.truth.analysis import BootstrapDraws, Points, mean_gap
from tests.truth.worlds import worlds

COUNT, RESAMPLES = 1_002, 300
KINDS = ("no size", "some size", "size", "exact seeds", "noisy seeds", "nearly right")


def percentile_bootstrap(world: Any, within: bool, rng: np.random.Generator) -> tuple[Any, Any]:
    """Tau-b of resampled nets, each with resampled seeds; its 2.5 and 97.5 percentiles."""
    nets, seeds = world.alone.shape[1:]
    same = world.groups[:, None] == world.groups[None, :]
    low, high = np.empty(len(world.scores)), np.empty(len(world.scores))
    for index, (scores, alone) in enumerate(zip(world.scores, world.alone, strict=True)):
        drawn = rng.integers(0, nets, (RESAMPLES, nets))
        chosen = rng.integers(0, seeds, (RESAMPLES, nets, seeds))
        means = np.take_along_axis(alone[drawn], chosen, -1).mean(-1)
        one, other = (np.sign(v[:, :, None] - v[:, None, :]) for v in (scores[drawn], means))
        if within:
            inside = same[drawn[:, :, None], drawn[:, None, :]]
            one, other = one * inside, other * inside
        untied = np.abs(one).sum((1, 2)) * np.abs(other).sum((1, 2))
        tau = (one * other).sum((1, 2)) / np.sqrt(np.maximum(untied, 1))
        low[index], high[index] = np.quantile(tau, (0.025, 0.975))
    return low, high


@pytest.mark.parametrize("nets", [10, 30, 60])
def test_intervals_of_tau(nets: int, benchmark: Any, record_property: Any) -> None:
    world = worlds(COUNT, nets, seed=1)
    rng = np.random.default_rng(0)
    for within, true in ((False, world.overall), (True, world.within)):
        tau = agreement(world.scores, world.alone, world.groups, within)
        low, high = percentile_bootstrap(world, within, rng)
        ours = (tau.low <= true) & (true <= tau.high)
        theirs = (low <= true) & (true <= high)
        which = f"{nets} nets, {'within ranges' if within else 'overall'}"
        by_kind = {kind: round(float(ours[n::6].mean()), 3) for n, kind in enumerate(KINDS)}
        record_property(which, f"{ours.mean():.3f} {by_kind}; bootstrap {theirs.mean():.3f}")
        assert 0.93 <= ours.mean() <= 0.97
    benchmark.pedantic(lambda: None, rounds=1)


@pytest.mark.parametrize("nets", [10, 30, 60])
def test_intervals_of_losses_and_gaps(nets: int, benchmark: Any, record_property: Any) -> None:
    """Of a loss: how often it holds that of these nets by their expected accuracies, and the mean
    over other nets, which it is not made for. Of a gap: that of all nets drawn as these were."""
    world = worlds(COUNT, nets, seed=11, pairs=1)
    rng = np.random.default_rng(5)
    drawn = [BootstrapDraws(alone, world.groups) for alone in world.alone]
    both = list(zip(drawn, world.scores, strict=True))
    for count in (1, 3):
        points = [draws.regret(scores, count) for draws, scores in both]
        others = world.mean_losses(count, RESAMPLES, rng)
        _reported(record_property, f"{nets} nets, first {count}", points, world.losses(count))
        _reported(record_property, f"{nets} nets, first {count}, others", points, others, 0.7)
    points = [draws.regret_within(scores) for draws, scores in both]
    others = world.mean_losses(None, RESAMPLES, rng)
    _reported(record_property, f"{nets} nets, in a range", points, world.losses_within())
    _reported(record_property, f"{nets} nets, in a range, others", points, others, 0.7)
    points = [draws.gap(scores) for draws, scores in both]
    _reported(record_property, f"{nets} nets, gap by bootstrap", points, world.gap, 0.85)
    gaps = world.scores - world.alone.mean(-1)
    points = [mean_gap(values, world.groups) for values in gaps]
    _reported(record_property, f"{nets} nets, gap", points, world.gap, 0.93)
    benchmark.pedantic(lambda: None, rounds=1)


def _reported(
    record_property: Any, which: str, points: list[Points], true: Any, least: float = 0.9
) -> None:
    low, high = (np.array([getattr(one, end) for one in points]) for end in ("low", "high"))
    held = (low <= true) & (true <= high)
    by_kind = {kind: round(float(held[n::6].mean()), 3) for n, kind in enumerate(KINDS)}
    record_property(which, f"{held.mean():.3f} {by_kind}")
    assert held.mean() >= least
