"""Exact sums and limits of additive costs."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa_bench.errors import UsageError
from ofa_bench.search.costs import AdditiveCost, counted
from ofa_bench.space.space import load_space

from .enumeration import CLASSES, additive, coupled

MS = AdditiveCost("latency", "ms", {}, {})
COUNT = AdditiveCost("macs", "MACs", {}, {})


@pytest.mark.parametrize("name", ["toy", "laptop-32", "proxylessnas", "mobilenetv3-ofa"])
def test_counts_are_the_spaces(name: str) -> None:
    space, rng = load_space(name), random.Random(0)
    macs, params = (counted(space, kind, CLASSES) for kind in ("macs", "params"))
    for _ in range(30):
        net = space.sample(rng, resolution=rng.choice(space.listed))
        assert macs.of(space, net) == space.macs(net, CLASSES)
        assert params.of(space, net) == space.params(net, CLASSES)
    with pytest.raises(UsageError):
        counted(space, "latency", CLASSES)


@settings(max_examples=200, deadline=None)
@given(budget=st.floats(0, 1e6), cost=st.sampled_from([MS, COUNT]))
def test_limit_is_the_most_that_is_inside(budget: float, cost: AdditiveCost) -> None:
    steps = cost.limit(budget)
    assert cost.value(steps) <= budget < cost.value(steps + 1)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_net_is_inside_its_cost_whatever_the_order_of_addition(seed: int) -> None:
    space, rng = coupled(), random.Random(seed)
    cost = additive(space, seed, "latency", 12)
    net = space.sample(rng, "archs", resolution=rng.choice(space.listed))
    terms = [cost.blocks[net.resolution][slot, k, e] for _, slot, k, e in space.active(net)]
    rng.shuffle(terms)
    steps = sum(map(cost.steps, terms), cost.steps(cost.fixed[net.resolution]))
    assert cost.limit(cost.of(space, net)) == steps


@pytest.mark.parametrize("budget", [1e15, 1e30, float("inf")])
@pytest.mark.parametrize("cost", [MS, COUNT])
def test_budgets_beyond_all_nets_end(budget: float, cost: AdditiveCost) -> None:
    assert cost.limit(budget) >= 10**15


def test_a_net_of_another_space_has_no_cost() -> None:
    toy, laptop = load_space("toy"), load_space("laptop-8")
    with pytest.raises(UsageError, match="no macs"):
        counted(toy, "macs", CLASSES).of(laptop, laptop.largest)
