"""The bundled searchers on made-up accuracies; their contract is held by `plugin check`."""

from __future__ import annotations

import builtins
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ofa_bench.errors import UsageError
from ofa_bench.search.costs import FINE
from ofa_bench.search.dynamic import BestSubnets
from ofa_bench.search.exact import FIRST, NEAR, ExactSearcher, largest_inside
from ofa_bench.search.nsga2 import Nsga2Searcher
from ofa_bench.search.searcher import Problem, RandomSearcher
from ofa_bench.space.space import load_space
from ofa_bench.testing import check_plugin, contract

from .enumeration import additive, coupled, sums
from .landscape import Landscape, problem_at, search

LAPTOP, TOY = load_space("laptop-8"), load_space("toy")


SEARCHERS = [held for held in contract("deployment", trains=False) if "searcher" in str(held)]


@pytest.mark.parametrize("held", SEARCHERS, ids=str)
def test_bundled_searchers_keep_the_contract(held: Any) -> None:
    held()


def test_the_guides_searcher_keeps_the_contract(tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "deploy.md").read_text("utf-8")
    code = next(part for part in text.split("```python\n")[1:] if "def propose" in part)
    file = tmp_path / "largest.py"
    file.write_text(code.partition("```")[0], "utf-8")
    assert check_plugin(file).ok


BROKEN = {
    "over the budget": "[problem.space.largest]",
    "one net is proposed twice": "problem.random_nets(rng, 1) * 2",
    "was evaluated before": "list(scored)[:1] or problem.random_nets(rng, 3)",
    "a second call proposes other nets": "problem.random_nets(random.Random(), 3, scored)",
    "shared generator of random": "problem.random_nets(random, 3, scored)",
    "were wanted": "problem.random_nets(rng, count + 1, scored)",
}


@pytest.mark.parametrize("complaint", BROKEN)
def test_a_broken_searcher_is_told_why(complaint: str, tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text(
        f"""import random
from ofa_bench import hookimpl

class Broken:
    def propose(self, problem, scored, count, rng):
        return {BROKEN[complaint]}

@hookimpl
def register(catalogue):
    catalogue.searcher("broken", Broken)
"""
    )
    broken = check_plugin(file).broken
    assert complaint in " ".join(verdict.observed for verdict in broken)
    assert all("broken.py:" in verdict.where for verdict in broken)


@pytest.mark.parametrize("noise", [0.002, 0.015])
def test_exact_is_better_than_random_over_20_seeds(noise: float) -> None:
    problem = problem_at(LAPTOP, 0.4)
    gains = []
    for seed in range(20):
        landscape = Landscape(LAPTOP, seed, noise)
        exact, drawn = (
            search(searcher, problem, landscape, 48, seed)
            for searcher in (ExactSearcher(), RandomSearcher())
        )
        gains.append(exact - drawn)
    assert np.mean(gains) > 0.001


def test_exact_finds_the_best_of_all_when_all_are_evaluated() -> None:
    problem = problem_at(TOY, 0.5)
    landscape = Landscape(TOY, 0, 0.0)
    best = max(landscape.true(net) for net in TOY if problem.cost.of(TOY, net) <= problem.budget)
    assert search(ExactSearcher(), problem, landscape, 216, 0) == best


def test_exact_says_when_the_prediction_is_not_used() -> None:
    """Accuracies that are MACs, plus what nothing predicts: the net of most MACs is evaluated."""
    problem, rng = problem_at(LAPTOP, 0.5), random.Random(0)
    searcher, scored = ExactSearcher(), {}
    most = problem.budget
    while len(scored) < FIRST:
        for net in searcher.propose(problem, scored, FIRST, rng):
            scored[net] = round(problem.macs.of(LAPTOP, net) / most, 1)
        assert searcher.quality is None and "too few" in searcher.note
    assert largest_inside(problem) in scored
    scored = {net: rng.random() for net in scored}
    for seed in range(30):
        nets = searcher.propose(problem, scored, 8, random.Random(seed))
        assert searcher.quality is not None
        if not searcher.quality.beats_macs:
            break
        scored = {net: rng.random() for net in scored}
    assert "not used" in searcher.note and "MACs alone" in searcher.note
    low = NEAR * most
    assert len(nets) == 8 and all(problem.cost.of(LAPTOP, net) >= low for net in nets)


def test_exact_proposes_the_optimum_of_an_additive_truth() -> None:
    problem, rng = problem_at(LAPTOP, 0.5), random.Random(0)
    truth = additive(LAPTOP, 11)
    scored = {LAPTOP.sample(rng, "archs"): 0.0 for _ in range(150)}
    scored = {net: truth.of(LAPTOP, net) for net in scored}
    best = BestSubnets(LAPTOP, problem.cost, truth).best(problem.budget)
    nets = ExactSearcher().propose(problem, scored, 16, rng)
    assert max(truth.of(LAPTOP, net) for net in nets) >= best.score - 0.05
    assert best.score > max(
        value for net, value in scored.items() if problem.cost.of(LAPTOP, net) <= problem.budget
    )


@pytest.mark.parametrize("searcher", [ExactSearcher, RandomSearcher, Nsga2Searcher])
def test_a_coupled_space_with_several_resolutions_and_a_latency(searcher: Any) -> None:
    space = coupled()
    latency = additive(space, 2, "latency")
    macs = problem_at(space, 0.5).macs
    problem = Problem(space, latency, latency.of(space, next(iter(space))), 10, macs)
    landscape = Landscape(space, 1, 0.01)
    assert 0 < search(searcher(), problem, landscape, 60, 0) < 1


@pytest.mark.parametrize("name", ["toy", "laptop-8"])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_largest_inside_is_the_most_macs(name: str, share: float) -> None:
    space = load_space(name)
    problem = problem_at(space, share)
    macs = sums(space, problem.macs, space.listed[0]) // FINE
    assert space.macs(largest_inside(problem), 10) == macs[macs <= problem.budget].max()


def test_largest_inside_of_a_giant_space_is_near_the_budget() -> None:
    problem = problem_at(load_space("mobilenetv3-ofa"), 0.5)
    macs = problem.macs.of(problem.space, largest_inside(problem))
    assert 0.999 * problem.budget <= macs <= problem.budget


def test_nsga2_without_pymoo_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("pymoo"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match="pymoo") as refused:
        Nsga2Searcher().propose(problem_at(TOY, 0.5), {}, 4, random.Random(0))
    assert "ofa-bench[search]" in refused.value.hint
