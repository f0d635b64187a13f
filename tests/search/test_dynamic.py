"""The dynamic programme against enumeration: whole fronts, single budgets, ranked lists."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa_bench.errors import UsageError
from ofa_bench.search import dynamic
from ofa_bench.search.costs import FINE, counted
from ofa_bench.search.dynamic import BestSubnets, cheapest, dearest, undominated
from ofa_bench.space.space import Space, load_space

from .enumeration import CLASSES, additive, coupled, everything, front

TOY, LAPTOP = load_space("toy"), load_space("laptop-8")
SMALL = {
    "toy": TOY,
    "coupled": coupled(),
    "narrow": LAPTOP.only(expand=[(2, 4), (3,), (2, 3), (4,), (2, 3, 4)], depth=(1, 2)),
    "deep": LAPTOP.only(depth=[(2,), (1, 2), (2,), (1,), (1, 2)]),
}


def cost_of(space: Space, kind: str, seed: int):
    return additive(space, seed, kind) if kind == "latency" else counted(space, kind, CLASSES)


def whole(pairs: list[tuple[float, float]]) -> list[tuple[int, int]]:
    return [(round(cost * FINE), round(score * FINE)) for cost, score in pairs]


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(SMALL)),
    kind=st.sampled_from(["macs", "params", "latency"]),
    seed=st.integers(0, 10**6),
    places=st.sampled_from([0, 1, 3]),
    share=st.floats(0, 1.1),
)
def test_front_and_ranking_equal_enumeration(
    name: str, kind: str, seed: int, places: int, share: float
) -> None:
    space = SMALL[name]
    cost, score = cost_of(space, kind, seed), additive(space, seed + 1, places=places)
    pairs = everything(space, cost, score)
    best = BestSubnets(space, cost, score)
    assert best.grain == 1
    assert whole(best.front()) == front(pairs)
    low, high = pairs[:, 0].min(), pairs[:, 0].max()
    assert (round(cheapest(space, cost) * FINE), round(dearest(space, cost) * FINE)) == (low, high)
    budget = cost.value(cost.steps((low + share * (high - low)) / FINE))
    inside = pairs[pairs[:, 0] <= round(budget * FINE)]
    ranked = list(islice(best.ranked(budget), 40))
    expected = inside[np.lexsort((inside[:, 0], -inside[:, 1]))][:40]
    assert whole([(net.cost, net.score) for net in ranked]) == list(map(tuple, expected.tolist()))
    assert len({net.subnet for net in ranked}) == len(ranked)
    for net in ranked[::7]:
        assert net.subnet in space and cost.of(space, net.subnet) == net.cost <= budget
        assert score.of(space, net.subnet) == net.score
    limited = BestSubnets(space, cost, score, budget)
    assert list(islice(limited.ranked(budget), 40)) == ranked


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), kind=st.sampled_from(["macs", "params", "latency"]))
def test_front_of_248832_nets_equals_enumeration(seed: int, kind: str) -> None:
    cost, score = cost_of(LAPTOP, kind, seed), additive(LAPTOP, seed + 1, places=6)
    pairs = everything(LAPTOP, cost, score)
    assert len(pairs) == 248_832
    assert whole(BestSubnets(LAPTOP, cost, score).front()) == front(pairs)


def test_ranking_lists_every_net_once() -> None:
    macs = counted(TOY, "macs", CLASSES)
    ranked = list(BestSubnets(TOY, macs, additive(TOY, 3)).ranked(1e9))
    assert len({net.subnet for net in ranked}) == TOY.count == len(ranked)


def test_equal_scores_are_ordered_alike_each_time() -> None:
    macs, flat = counted(TOY, "macs", CLASSES), additive(TOY, 0, places=0)
    lists = [list(BestSubnets(TOY, macs, flat).ranked(1e9)) for _ in range(2)]
    assert lists[0] == lists[1]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), max_size=30))
def test_undominated(points: list[tuple[int, int]]) -> None:
    pairs = np.array(points, np.int64).reshape(-1, 2)
    kept = undominated(pairs[:, 0], pairs[:, 1])
    assert list(zip(*(axis.tolist() for axis in kept), strict=True)) == front(pairs)


def test_a_budget_just_met_is_met_and_one_below_is_refused() -> None:
    for kind in ("macs", "params", "latency"):
        cost = cost_of(TOY, kind, 5)
        best = BestSubnets(TOY, cost, additive(TOY, 6))
        least = cheapest(TOY, cost)
        assert best.best(least).cost == least
        with pytest.raises(UsageError) as refused:
            best.best(np.nextafter(least, 0))
        assert cost.text(least) in refused.value.hint


def test_crowded_sets_are_rounded_and_stay_within_their_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Scores all but proportional to the cost: most sums are on the front."""
    macs = counted(LAPTOP, "macs", CLASSES)
    exact = BestSubnets(LAPTOP, macs, macs)
    monkeypatch.setattr(dynamic, "MOST_PAIRS", 500)
    rounded = BestSubnets(LAPTOP, macs, macs)
    assert exact.grain == 1 < rounded.grain
    slots = LAPTOP.blocks[-1][-1] + 1
    low, high = cheapest(LAPTOP, macs), dearest(LAPTOP, macs)
    for budget in np.linspace(low, high, 23):
        answer = rounded.best(budget)
        assert macs.of(LAPTOP, answer.subnet) == answer.cost <= budget
        assert exact.best(budget).score - answer.cost <= rounded.grain * (slots + 1)


def test_giant_spaces_need_no_torch() -> None:
    """A front of 50 budgets over 2.2e19 nets at each of four resolutions."""
    import subprocess
    import sys

    code = """
import sys
from ofa_bench.space.space import load_space
from ofa_bench.search.costs import counted
from ofa_bench.search.dynamic import BestSubnets, cheapest, dearest
from tests.search.enumeration import additive
space = load_space("mobilenetv3-ofa")
macs = counted(space, "macs", 1000)
best = BestSubnets(space, macs, additive(space, 0, places=9))
low, high = cheapest(space, macs), dearest(space, macs)
nets = [best.best(low + (high - low) * step / 49) for step in range(50)]
assert best.grain == 1 and all(net.cost <= high for net in nets)
assert [net.score for net in nets] == sorted(net.score for net in nets)
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.stdout.split() == ["False"], done.stderr
