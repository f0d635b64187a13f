"""The statistics of ground truth, in worlds whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau

from ofa_bench.errors import UsageError
from ofa_bench.leaderboard.truth.agreement import agreement, ceiling, ranges
from ofa_bench.leaderboard.truth.analysis import Points, analyse, mean_gap

from .worlds import worlds

COUNT = 1_000


@pytest.mark.parametrize("nets", [10, 30, 60])
def test_intervals_cover_the_true_tau(nets: int, record_property) -> None:
    """The 95 % interval covers it in 93 to 97 % of 1,000 worlds, overall and within ranges."""
    world = worlds(COUNT, nets, pairs=4_000)
    for within, true in ((False, world.overall), (True, world.within)):
        tau = agreement(world.scores, world.alone, world.groups, within)
        covered = np.mean((tau.low <= true) & (true <= tau.high))
        which = "within ranges" if within else "overall"
        record_property(f"intervals of tau that cover it, {which}", f"{covered:.3f} of {nets} nets")
        assert 0.93 <= covered <= 0.97
        assert abs(np.mean(tau.value - true)) < 0.03
        assert np.all((tau.low <= tau.value) & (tau.value <= tau.high))


@pytest.mark.parametrize("nets", [10, 30, 60])
def test_intervals_cover_the_true_gap(nets: int, record_property) -> None:
    """The gap of all nets drawn as these were, in 93 to 97 % of 1,000 worlds."""
    world = worlds(COUNT, nets, seed=3, pairs=1)
    gaps = world.scores - world.alone.mean(-1)
    points = [mean_gap(values, world.groups) for values in gaps]
    true = zip(points, world.gap, strict=True)
    covered = np.mean([one.low <= gap <= one.high for one, gap in true])
    record_property("intervals of the gap that cover it", f"{covered:.3f} of {nets} nets")
    assert 0.93 <= covered <= 0.97
    assert all(one.low <= one.value <= one.high for one in points)


def test_a_gap_is_no_more_than_there_is() -> None:
    """Four nets of which two are at 0 and two at 100: the interval stays between -100 and 100."""
    points = mean_gap(np.array([-100.0, 100.0, -100.0, 100.0]), ranges(4))
    assert (points.value, points.low, points.high) == (0, -100, 100)
    assert mean_gap(np.full(10, 2.5), ranges(10)) == Points(2.5, 2.5, 2.5)


@pytest.mark.parametrize("order", [1, -1, 0])
@pytest.mark.parametrize("within", [False, True])
def test_oracles(order: int, within: bool) -> None:
    """Rankings whose agreement is known: 1, -1, and 0 as the mean of rankings by chance."""
    rng = np.random.default_rng(7)
    alone = np.cumsum(rng.uniform(0.1, 1, (400, 60)), axis=1)[..., None] * np.ones(2)
    scores = order * alone[..., 0] if order else rng.standard_normal((400, 60))
    tau = agreement(scores, alone, ranges(60), within)
    assert np.mean(tau.value) == pytest.approx(order, abs=0.02)
    assert np.mean(tau.measured) == pytest.approx(order, abs=0.02)
    assert np.mean((tau.low <= order) & (order <= tau.high)) >= 0.93


def test_macs_say_nothing_within_ranges() -> None:
    """Where accuracy differs between ranges of MACs and not inside them, MACs rank well overall and
    say nothing within: its interval holds 0."""
    rng = np.random.default_rng(3)
    groups = ranges(60)
    quality = rng.standard_normal((1000, 60, 1))
    alone = 3.0 * groups[:, None] + quality + 0.3 * rng.standard_normal((1000, 60, 2))
    macs = groups + rng.random((1000, 60))
    overall, within = (agreement(macs, alone, groups, inside) for inside in (False, True))
    assert np.mean(overall.value) > 0.7
    assert abs(np.mean(within.value)) < 0.02
    assert 0.93 <= np.mean((within.low <= 0) & (within.high >= 0)) <= 0.97


def test_tau_is_tau_b() -> None:
    """Against scipy, with ties in both lists and with one seed."""
    rng = np.random.default_rng(1)
    scores, alone = rng.integers(0, 8, 30).astype(float), rng.integers(0, 8, 30).astype(float)
    tau = agreement(scores, alone[:, None], ranges(30), within=False)
    assert tau.measured == pytest.approx(kendalltau(scores, alone, variant="b").statistic)
    assert tau.value == tau.measured
    seeds = rng.integers(0, 8, (30, 3)).astype(float)
    between = [kendalltau(seeds[:, a], seeds[:, b]).statistic for a, b in ((0, 1), (0, 2), (1, 2))]
    assert ceiling(seeds, ranges(30), within=False).measured == pytest.approx(np.mean(between))


def test_noise_of_seeds_is_taken_away() -> None:
    """The mean over many nets: measured tau falls short of the true one, the value does not."""
    world = worlds(600, 60, seed=2, pairs=3_000)
    noisy = np.arange(600) % 6 == 4
    tau = agreement(world.scores, world.alone, world.groups, within=False)
    assert np.mean((tau.measured - world.overall)[noisy]) < -0.05
    assert abs(np.mean((tau.value - world.overall)[noisy])) < 0.03


def test_a_constant_ranking_agrees_with_nothing() -> None:
    alone = np.arange(20.0).reshape(10, 2)
    tau = agreement(np.ones(10), alone, ranges(10), within=True)
    assert float(tau.value) == 0 and float(tau.low) < 0 < float(tau.high)


def nets(count: int, seeds: int = 2, spread: float = 1.0) -> tuple[dict, dict, dict]:
    rng = np.random.default_rng(count)
    names = [f"net{index:02d}" for index in range(count)]
    true = rng.uniform(80, 95, count)
    expected = dict(zip(names, true, strict=True))
    alone = {n: list(t + spread * rng.standard_normal(seeds)) for n, t in expected.items()}
    return expected, alone, {n: 100 * i for i, n in enumerate(names)}


def test_rankings_are_ordered_by_what_they_say_within_ranges() -> None:
    true, alone, macs = nets(30, spread=0.3)
    inverse = {net: -value for net, value in true.items()}
    found = analyse({"inverse": inverse, "oracle": true, "macs": macs}, alone, macs, ["oracle"])
    assert [ranking.name for ranking in found.rankings] == ["oracle", "macs", "inverse"]
    oracle, _, worst = found.rankings
    assert oracle.within.value > 0.9 and worst.within.value < -0.9
    assert abs(oracle.regret[1].value) < 2 and worst.regret[1].value > 5
    assert oracle.regret_within.value < worst.regret_within.value
    assert worst.regret[1].value >= worst.regret[3].value >= worst.regret[5].value
    assert abs(oracle.gap.value) < 0.3 and oracle.gap.low <= oracle.gap.value <= oracle.gap.high
    assert worst.gap is None
    assert found.ceiling.value > 0.7 and len(found.ranges) == 6


def test_regret_is_what_it_says() -> None:
    """By hand: without noise, the best net's accuracy less that of the best of the first k."""
    true, alone, macs = nets(12, spread=0.0)
    rng = np.random.default_rng(0)
    chance = {net: float(rng.random()) for net in true}
    (ranking,) = analyse({"chance": chance}, alone, macs).rankings
    order = sorted(true, key=lambda net: -chance[net])
    for count, points in ranking.regret.items():
        lost = max(true.values()) - max(true[net] for net in order[:count])
        assert points.value == pytest.approx(lost)
        assert points.low <= points.value <= points.high


def test_nets_without_all_seeds_are_left_out() -> None:
    true, alone, macs = nets(12)
    alone["net03"][1] = None
    found = analyse({"oracle": true}, alone, macs)
    assert found.left_out == ("net03",) and len(found.nets) == 11
    few = {net: alone[net] for net in list(alone)[:4]}
    with pytest.raises(UsageError, match="3 of 4 nets were trained alone"):
        analyse({"oracle": true}, few, macs)


def test_one_seed_has_no_ceiling() -> None:
    true, alone, macs = nets(10, seeds=1)
    found = analyse({"oracle": true}, alone, macs)
    assert found.ceiling is None and found.rankings[0].within.value > 0.5
