"""Draws: the peers' order, the two measures, and exactness inside a range of MACs."""

from __future__ import annotations

import random
import statistics
from collections import Counter
from itertools import pairwise

import pytest
from scipy import stats

from ofa_bench.errors import UsageError
from ofa_bench.space import Space, Subnet

from . import golden
from .spaces import loaded

RARE = 1e-4  # seeds are fixed: a test below this fails always or never


@pytest.mark.parametrize(("name", "slots", "stages"), [("mobilenetv3-ofa", 20, 5),
                                                       ("mobilenetv3", 20, 5),
                                                       ("proxylessnas-ofa", 21, 6)])  # fmt: skip
def test_peers_draw_order(name: str, slots: int, stages: int) -> None:
    space = loaded(name)
    kernels = [7] if name == "mobilenetv3" else [3, 5, 7]
    for seed in (0, 1, 123001000):
        peer = random.Random(seed)
        kernel = [peer.choice(kernels) for _ in range(slots)]
        expand = [peer.choice([3, 4, 6]) for _ in range(slots)]
        depth = [peer.choice([2, 3, 4] if stage < 5 else [1]) for stage in range(stages)]
        resolution = peer.choice(space.resolutions)
        expected = space.subnet(
            {"kernel": kernel, "expand": expand, "depth": depth, "resolution": resolution}
        )
        mine = random.Random(seed)
        assert space.sample(mine) == expected
        assert mine.getstate() == peer.getstate(), "as much randomness consumed"


def test_a_given_resolution_is_not_drawn() -> None:
    space = loaded("mobilenetv3-ofa")
    free, given = space.sample(random.Random(5)), space.sample(random.Random(5), resolution=132)
    assert given == free.at(132)
    with pytest.raises(UsageError, match="resolution 131"):
        space.sample(random.Random(5), resolution=131)


def test_coupled_draw_order() -> None:
    space = loaded("mobilenetv3-ofa").only(expand=golden.COUPLING)
    peer = random.Random(9)
    depth = [peer.choice([2, 3, 4]) for _ in range(5)]
    expand = [peer.choice(golden.COUPLING[d]) for d in depth for _ in range(4)]
    kernel = [peer.choice([3, 5, 7]) for _ in range(20)]
    expected = space.subnet({"kernel": kernel, "expand": expand, "depth": depth})
    assert space.sample(random.Random(9), resolution=224) == expected


def test_marginals_of_dims() -> None:
    space = loaded("mobilenetv3-ofa")
    rng = random.Random(1)
    nets = [space.sample(rng, resolution=224) for _ in range(6000)]
    columns = [Counter(net.depth[2] for net in nets), Counter(net.kernel[0] for net in nets),
               Counter(net.expand[17] for net in nets)]  # fmt: skip
    for column in columns:
        assert len(column) == 3 and stats.chisquare(list(column.values())).pvalue > RARE


def test_archs_is_uniform_over_nets() -> None:
    space = loaded("toy")
    rng = random.Random(2)
    drawn = Counter(space.sample(rng, measure="archs") for _ in range(20 * space.count))
    assert stats.chisquare([drawn[net] for net in space]).pvalue > RARE
    # the same draws by dims are not uniform: deep nets are many but drawn no oftener
    deep = loaded("mobilenetv3")
    archs = Counter(deep.sample(rng, measure="archs").depth[0] for _ in range(4000))
    expected = [4000 * 3**d / 117 for d in (2, 3, 4)]
    assert stats.chisquare([archs[d] for d in (2, 3, 4)], expected).pvalue > RARE


@pytest.mark.parametrize(("name", "median"), golden.MEDIANS.items())
def test_median_macs_of_random_nets(name: str, median: int) -> None:
    space = loaded(name)
    rng = random.Random(3)
    found = statistics.median(space.macs(space.sample(rng, resolution=224)) for _ in range(4000))
    assert found / 1e6 == pytest.approx(median, abs=4)


def test_unknown_measure() -> None:
    with pytest.raises(UsageError, match="no measure 'nets'"):
        loaded("toy").sample(random.Random(0), measure="nets")


def inside(space: Space, low: int, high: int) -> list[Subnet]:
    return [net for net in space if low <= space.macs(net, 10) <= high]


TOY_RANGES = [(0, 10**9), (80_000, 100_000), (95_000, 105_000)]


@pytest.mark.parametrize(("low", "high"), [*TOY_RANGES, (0, 60_608), (60_609, 60_610)])
def test_toy_census_is_exact(low: int, high: int) -> None:
    space = loaded("toy")
    expected = inside(space, low, high)
    assert space.count_in(low, high, classes=10) == len(expected)
    found = space.nets_in(low, high, classes=10)
    assert found is not None and len(found) == len(set(found)) and set(found) == set(expected)
    costs = [space.macs(net, 10) for net in found]
    assert costs == sorted(costs)


def test_nets_in_gives_up_over_the_limit() -> None:
    space = loaded("toy")
    assert space.nets_in(0, 10**9, classes=10, limit=215) is None
    assert len(space.nets_in(0, 10**9, classes=10, limit=216) or []) == 216


@pytest.mark.parametrize(("ratios", "exact"), [((2, 3), True), ((2, 4), False)])
def test_census_counts_as_brute_force_does(ratios: tuple[int, int], exact: bool) -> None:
    """laptop-8 thinned to 6^5 nets: over the listing's limit, so the histogram answers.

    The narrower space has bins of one MAC, the wider one of two, whose edges are estimated.
    """
    space = loaded("laptop-8").only(expand=ratios)
    costs = sorted(space.macs(net, 10) for net in space)
    low, high = costs[500], costs[-500]
    expected = sum(low <= cost <= high for cost in costs)
    assert 4096 < expected < space.count
    found = space.count_in(low, high, classes=10)
    assert isinstance(found, int) is exact
    assert found == pytest.approx(expected, rel=0 if exact else 2e-3)


@pytest.mark.parametrize(("low", "high"), TOY_RANGES)
@pytest.mark.parametrize("measure", ["dims", "archs"])
@pytest.mark.parametrize("listing", [True, False])
def test_exact_law_in_a_range(
    low: int, high: int, measure: str, listing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ways of drawing, listing and histogram, follow the measure's law inside the range."""
    if not listing:
        monkeypatch.setattr("ofa_bench.space.census.FEW", -1)
        monkeypatch.setattr("ofa_bench.space.histogram.BINS", 20)
    space = Space(loaded("toy").table)
    nets = inside(space, low, high)
    # one arrangement of a stage of depth d has probability 1/2 · (1/2)^d
    weights = [1.0 if measure == "archs" else 2.0 ** -sum(net.depth) for net in nets]
    rng = random.Random(4)
    draws = 15 * len(nets)
    drawn = Counter(space.sample(rng, measure, macs=(low, high), classes=10) for _ in range(draws))
    assert set(drawn) <= set(nets)
    expected = [draws * weight / sum(weights) for weight in weights]
    assert stats.chisquare([drawn[net] for net in nets], expected).pvalue > RARE


@pytest.mark.parametrize(
    ("macs", "hint"),
    [((1, 2), "60,608"), ((10**9, 10**10), "136,480"), ((60_609, 60_610), "60,608 and ")],
)
def test_nothing_in_the_range(macs: tuple[int, int], hint: str) -> None:
    with pytest.raises(UsageError, match="no subnet of toy costs") as caught:
        loaded("toy").sample(random.Random(0), macs=macs, classes=10)
    assert hint in caught.value.hint


def test_an_empty_range_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="the range is empty"):
        loaded("toy").sample(random.Random(0), macs=(2, 1))


@pytest.fixture(scope="module")
def large() -> Space:
    """The elastic-kernel space at one resolution, whose census is made once."""
    return loaded("mobilenetv3-ofa").only(resolution=(224,))


def test_rare_ends_of_the_large_space(large: Space) -> None:
    assert large.nets_in(0, 121_278_672) == [large.smallest]
    assert large.nets_in(566_170_656, 10**9) == [large.largest]
    assert large.count_in(566_170_657, 10**9) == 0
    assert large.sample(random.Random(0), "archs", macs=(566_000_000, 567_000_000)) == large.largest


def test_dense_middle_of_the_large_space(large: Space) -> None:
    rng = random.Random(6)
    low, high = 290_000_000, 290_100_000
    nets = [large.sample(rng, "archs", macs=(low, high)) for _ in range(50)]
    assert all(net in large and low <= large.macs(net) <= high for net in nets)
    assert len(set(nets)) == 50
    assert large.nets_in(low, high) is None


def test_counts_add_up_in_the_large_space(large: Space) -> None:
    edges = [0, 200_000_000, 300_000_000, 400_000_000, 10**9]
    parts = [large.count_in(low, high - 1) for low, high in pairwise(edges)]
    assert sum(parts) == pytest.approx(large.count, rel=1e-9)
    assert large.count_in(0, 10**9) == pytest.approx(7371**5, rel=1e-9)


def test_a_range_chooses_among_listed_resolutions() -> None:
    """The share of a resolution is its share of the nets in the range."""
    space = Space(loaded("proxylessnas-ofa").table).only(kernel=(3,), expand=(3, 6), depth=(2, 4))
    low, high = 100_000_000, 130_000_000
    counts = {size: space.count_in(low, high, resolution=size) for size in space.listed}
    assert space.count_in(low, high) == pytest.approx(sum(counts.values()))
    assert sum(count > 0 for count in counts.values()) >= 2
    rng = random.Random(7)
    drawn = Counter(space.sample(rng, "archs", macs=(low, high)).resolution for _ in range(2000))
    expected = [2000 * count / sum(counts.values()) for count in counts.values() if count]
    found = [drawn[size] for size, count in counts.items() if count]
    assert stats.chisquare(found, expected).pvalue > RARE
