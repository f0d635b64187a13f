"""What a front costs in the spaces shipped, and how searchers compare on made-up accuracies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ofa_bench.search.costs import AdditiveCost, counted
from ofa_bench.search.dynamic import BestSubnets, cheapest, dearest
from ofa_bench.search.exact import ExactSearcher, largest_inside
from ofa_bench.search.nsga2 import Nsga2Searcher
from ofa_bench.search.searcher import RandomSearcher
from ofa_bench.space.space import Space, load_space
from tests.search.enumeration import additive
from tests.search.landscape import Landscape, problem_at, search

from .timing import FULL

SPACES = ("toy", "laptop-8", "laptop-32", "mobilenetv3", "mobilenetv3-ofa")
CLASSES = 1000


def sized(space: Space, spread: float) -> AdditiveCost:
    """A score within `spread` of proportional to MACs: the hardest kind, most sums are kept."""
    rng = np.random.default_rng(0)
    macs = counted(space, "macs", CLASSES)
    most = max(max(blocks.values()) for blocks in macs.blocks.values())
    return AdditiveCost(
        "score",
        "accuracy",
        dict.fromkeys(space.listed, 0.0),
        {
            size: {
                key: value / most * rng.uniform(1 - spread, 1 + spread)
                for key, value in blocks.items()
            }
            for size, blocks in macs.blocks.items()
        },
    )


@pytest.mark.parametrize("kind", ["macs", "latency"])
@pytest.mark.parametrize("score", ["random", "near MACs"])
@pytest.mark.parametrize("name", SPACES)
def test_front_of_50_budgets(name: str, score: str, kind: str, benchmark: Any) -> None:
    space = load_space(name)
    cost = additive(space, 1, kind, 9) if kind == "latency" else counted(space, kind, CLASSES)
    accuracy = additive(space, 2, places=9) if score == "random" else sized(space, 0.02)
    low, high = cheapest(space, cost), dearest(space, cost)

    def front() -> list[float]:
        best = BestSubnets(space, cost, accuracy)
        benchmark.extra_info["pairs"] = len(best.front())
        return [best.best(budget).score for budget in np.linspace(low, high, 50)]

    scores = benchmark.pedantic(front, rounds=3)
    assert scores == sorted(scores)


@pytest.mark.skipif(not FULL, reason="only in bench-full: set OFA_BENCH_FULL=1")
@pytest.mark.parametrize("noise", [0.0, 0.005, 0.015])
@pytest.mark.parametrize("share", [0.15, 0.4, 0.7])
def test_searchers_on_made_up_accuracies(share: float, noise: float, benchmark: Any) -> None:
    """True accuracy over that of random search, in points, 64 evaluations, 20 seeds."""
    space = load_space("laptop-32")
    problem = problem_at(space, share)
    gains: dict[str, list[float]] = {"exact": [], "nsga2": [], "MACs alone": []}
    for seed in range(20):
        landscape = Landscape(space, seed, noise)
        drawn = search(RandomSearcher(), problem, landscape, 64, seed)
        for name, searcher in (("exact", ExactSearcher()), ("nsga2", Nsga2Searcher())):
            gains[name].append(search(searcher, problem, landscape, 64, seed) - drawn)
        gains["MACs alone"].append(landscape.true(largest_inside(problem)) - drawn)
    for name, values in gains.items():
        error = np.std(values, ddof=1) / np.sqrt(len(values))
        text = f"{100 * np.mean(values):+.2f} ± {100 * error:.2f}"
        benchmark.extra_info[name] = text
        print(f"budget {share}, noise {noise}: {name} {text}")
    benchmark.pedantic(lambda: None, rounds=1)
    assert np.mean(gains["exact"]) >= 0
