"""Clauses on searchers: what they propose, for budgets of MACs and of a made-up latency."""

from __future__ import annotations

import random
from collections.abc import Iterator

from ofa_bench.errors import UsageError
from ofa_bench.search.costs import AdditiveCost, counted
from ofa_bench.search.dynamic import cheapest, dearest
from ofa_bench.search.searcher import Problem
from ofa_bench.space import Subnet, load_space
from ofa_bench.testing.case import Case, no_global_random, probe
from ofa_bench.testing.verdict import Breach, DoesNotApply, clauses

PAGE = "docs/deploy.md"
CLASSES, ROUND, ROUNDS = 10, 12, 4
SHARES = {"macs": 0.7, "latency": 0.4}

Round = tuple[Problem, dict[Subnet, float], list[Subnet]]
on_searchers = clauses("searcher", page=PAGE)


def _problems() -> Iterator[Problem]:
    """A budget of MACs, and one of a latency that orders nets otherwise."""
    space = load_space("toy")
    macs = counted(space, "macs", CLASSES)
    blocks = {
        size: {key: 1e-3 * (1 + sum(key) % 5) for key in terms}
        for size, terms in macs.blocks.items()
    }
    latency = AdditiveCost("latency", "ms", dict.fromkeys(space.listed, 0.25), blocks)
    for cost in (macs, latency):
        least, most = cheapest(space, cost), dearest(space, cost)
        budget = least + SHARES[cost.kind] * (most - least)
        yield Problem(space, cost, budget, CLASSES, macs)


def _propose(case: Case, problem: Problem, scored: dict[Subnet, float], seed: int) -> list[Subnet]:
    searcher = case.cls()
    try:
        return list(searcher.propose(problem, dict(scored), ROUND, random.Random(seed)))
    except UsageError as error:
        if "pip install" in error.hint:
            raise DoesNotApply(error.message) from error
        raise


def _rounds(case: Case) -> Iterator[Round]:
    """Rounds of a search with accuracies that depend on the subnet alone."""
    for problem in _problems():
        scored: dict[Subnet, float] = {}
        for number in range(ROUNDS):
            nets = _propose(case, problem, scored, number)
            yield problem, dict(scored), nets
            scored |= {net: probe(net) for net in nets}


@on_searchers(
    "proposals are inside the budget",
    "subnets of the space, at a listed resolution, that cost at most the budget",
)
def proposals_are_affordable(case: Case) -> None:
    """Whoever asks for 2 ms gets no net of 2.1 ms evaluated."""
    for problem, _, nets in _rounds(case):
        for net in nets:
            if net not in problem.space or net.resolution not in problem.space.listed:
                raise Breach(f"it proposed {net}, which is not in the space")
            cost = problem.cost.of(problem.space, net)
            if cost > problem.budget:
                spent, budget = problem.cost.text(cost), problem.cost.text(problem.budget)
                observed = f"it proposed {net} of {spent}, over the budget of {budget}"
                raise Breach(observed)


@on_searchers(
    "no net is proposed twice", "at most `count` different subnets, none of them in `scored`"
)
def proposals_are_new(case: Case) -> None:
    """An evaluation is expensive, and its result is the same the second time."""
    for _, scored, nets in _rounds(case):
        if len(nets) > ROUND:
            raise Breach(f"{ROUND} were wanted, {len(nets)} came")
        if len(set(nets)) < len(nets):
            raise Breach("one net is proposed twice in a round")
        known = [net for net in nets if net in scored]
        if known:
            raise Breach(f"{known[0]} was evaluated before")


@on_searchers(
    "proposals are deterministic", "equal arguments give equal proposals; only `rng` is drawn from"
)
def proposals_are_deterministic(case: Case) -> None:
    """An interrupted search goes on as if it had not been interrupted."""
    for index, (problem, scored, nets) in enumerate(_rounds(case)):
        with no_global_random():
            again = _propose(case, problem, scored, index % ROUNDS)
        if again != nets:
            raise Breach("a second call proposes other nets")


@on_searchers(
    "a search comes to its end",
    "[] when all nets inside the budget are evaluated; UsageError where there are none",
)
def search_ends(case: Case) -> None:
    """Neither a small budget nor an impossible one is waited for."""
    for problem in _problems():
        space, cost = problem.space, problem.cost
        scored = {net: probe(net) for net in space if cost.of(space, net) <= problem.budget}
        nets = _propose(case, problem, scored, 0)
        if nets:
            raise Breach(f"nothing was left, it proposed {nets[0]}")
        low = cheapest(space, cost) / 2
        try:
            _propose(case, Problem(space, cost, low, CLASSES, problem.macs), {}, 0)
        except UsageError:
            continue
        raise Breach(f"no UsageError for a budget of {cost.text(low)}")
