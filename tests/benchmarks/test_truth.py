"""How often intervals of tau hold the true one: the committed interval, kind by kind of world, and
the percentile bootstrap over nets and seeds beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ofa_bench.leaderboard.truth.agreement import agreement
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
        one, other = (
            np.sign(v[:, :, None] - v[:, None, :]) for v in (scores[drawn], means)
        )
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
