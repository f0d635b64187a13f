"""Nets inside a budget: listed as enumeration lists them, sampled uniformly."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from ofa_bench.errors import UsageError
from ofa_bench.search import constrained_subnets
from ofa_bench.search.constrained_subnets import ConstrainedSubnets
from ofa_bench.search.costs import counted
from ofa_bench.search.dynamic import cheapest, dearest
from ofa_bench.space.space import load_space

from .enumeration import CLASSES, additive, coupled

TOY, COUPLED = load_space("toy"), coupled()


@settings(max_examples=15, deadline=None)
@given(
    kind=st.sampled_from(["macs", "params", "latency"]),
    share=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_listed_nets_are_those_inside(kind: str, share: float, seed: int) -> None:
    space = COUPLED
    cost = additive(space, seed, kind) if kind == "latency" else counted(space, kind, CLASSES)
    low, high = cheapest(space, cost), dearest(space, cost)
    inside = ConstrainedSubnets(space, cost, low + share * (high - low))
    everything = [net.at(size) for net in space for size in space.listed]
    expected = {net for net in everything if cost.of(space, net) <= inside.most}
    assert inside.few is not None and len(inside.few) == len(set(inside.few))
    assert set(inside.few) == expected
    assert set(inside.fresh(random.Random(0), len(expected) + 9, ())) == expected


@pytest.mark.parametrize("kind", ["macs", "latency"])
def test_samples_are_uniform(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With steps so coarse that nets are drawn again, and none of them listed."""
    monkeypatch.setattr(constrained_subnets, "FEW", 0)
    monkeypatch.setattr(constrained_subnets, "LEAST_BINS", 20)
    space = TOY
    cost = additive(space, 4, kind) if kind == "latency" else counted(space, kind, CLASSES)
    budget = (cheapest(space, cost) + dearest(space, cost)) / 2
    inside = ConstrainedSubnets(space, cost, budget)
    assert inside.few is None
    nets = [net for net in space if cost.of(space, net) <= budget]
    rng = random.Random(1)
    drawn = Counter(inside.sample(rng) for _ in range(30 * len(nets)))
    assert set(drawn) == set(nets)
    assert chisquare(list(drawn.values())).pvalue > 1e-4


def test_samples_near_the_budget_are_near(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constrained_subnets, "FEW", 0)
    macs = counted(COUPLED, "macs", CLASSES)
    low, high = cheapest(COUPLED, macs), dearest(COUPLED, macs)
    budget, floor = low + 0.5 * (high - low), low + 0.3 * (high - low)
    nets = ConstrainedSubnets(COUPLED, macs, budget).fresh(random.Random(0), 30, (), floor)
    assert len(set(nets)) == 30
    assert all(floor <= macs.of(COUPLED, net) <= budget for net in nets)


@pytest.mark.parametrize("name", ["toy", "mobilenetv3-ofa"])
@pytest.mark.parametrize("kind", ["macs", "params"])
def test_an_infeasible_budget_names_the_nearest(name: str, kind: str) -> None:
    space = load_space(name)
    cost = counted(space, kind, CLASSES)
    count = space.macs if kind == "macs" else space.params
    least = count(space.smallest.at(min(space.listed)), CLASSES)
    with pytest.raises(UsageError, match="no subnet") as refused:
        ConstrainedSubnets(space, cost, least - 1)
    assert f"{least:,}" in refused.value.hint
