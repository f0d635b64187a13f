"""Which subnets a search scores: the searcher's, as many random ones, and those of most MACs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

from ofa_bench import seeding
from ofa_bench.deploy.searching.request import SearchRequest
from ofa_bench.deploy.searching.scored_nets import ScoredNets
from ofa_bench.errors import PluginError
from ofa_bench.hooks.catalogue import Entry
from ofa_bench.sanitize import plain_text
from ofa_bench.search.exact import largest_inside
from ofa_bench.search.predictor import PredictorQuality
from ofa_bench.search.searcher import Problem, Searcher
from ofa_bench.space import Subnet

ROUNDS = 8  # in which a searcher is asked, each time with the scores so far
LEAST_ROUND, LARGEST_ROUND = 8, 64
BASELINE = "random"  # the searcher that every other one must beat


@dataclass(frozen=True)
class Trials:
    """The scored subnets in the order they were proposed, and what the searcher's surrogate of
    accuracy was worth, where it had one."""

    searcher: tuple[Subnet, ...]
    random: tuple[Subnet, ...]
    macs_alone: tuple[Subnet, ...]
    quality: PredictorQuality | None = None


def trials(asked: SearchRequest, scores: ScoredNets) -> Trials:
    """Score what the search may look at. Raises PluginError where a searcher breaks its rules."""
    if asked.exhaustive:
        space = asked.space
        nets = tuple(net.at(size) for size in space.listed for net in space)
        scores.note = lambda count: f"scoring {count} of all {len(nets)} subnets of the space"
        hits = scores.select(nets)
        macs = {net: asked.macs.of(space, net) for net in hits}
        cost = {net: asked.cost.of(space, net) for net in hits}
        alone = [
            max((net for net in nets if cost[net] <= budget), key=lambda net: macs[net])
            for budget in asked.budgets
        ]
        return Trials(nets, (), tuple(dict.fromkeys(alone)))
    problems = [asked.problem(budget) for budget in asked.budgets]
    searcher: Searcher = asked.entry.load()()
    chosen = proposals(asked.entry, searcher, problems, asked.evaluations, asked.seed, scores)
    baseline = asked.run.catalogue.get("searcher", BASELINE)
    drawn = proposals(baseline, baseline.load()(), problems, len(chosen), asked.seed, scores)
    alone = [largest_inside(problem) for problem in problems]
    scores.select(alone)
    quality = getattr(searcher, "quality", None)
    return Trials(chosen, drawn, tuple(dict.fromkeys(alone)), quality)


def proposals(
    entry: Entry,
    searcher: Searcher,
    problems: Sequence[Problem],
    evaluations: int,
    seed: int,
    scores: ScoredNets,
) -> tuple[Subnet, ...]:
    """What a searcher proposes for the problems in turn, each an equal part of the evaluations.

    It is told the scores of its own proposals only, so what is on disk changes no answer.
    """
    known: dict[Subnet, float] = {}
    for index, problem in enumerate(problems):
        rng = seeding.rng("search", entry.name, problem.cost.kind, problem.budget, seed)
        goal = evaluations * (index + 1) // len(problems)
        size = goal - len(known)
        if entry.name != BASELINE:  # which looks at no score, and shares most in one round
            size = min(LARGEST_ROUND, max(LEAST_ROUND, ceil(size / ROUNDS)))
        while len(known) < goal:
            count = min(size, goal - len(known))
            nets = searcher.propose(problem, dict(known), count, rng)
            _check(entry, nets, problem, known, count)
            if not nets:
                break
            scores.note = _noted(searcher, entry.name, len(known), evaluations)
            for net, hits in scores.select(nets).items():
                known[net] = hits / scores.images.select
    return tuple(known)


def _noted(searcher: Searcher, name: str, done: int, of: int) -> Callable[[int], str]:
    """What is said of a round, with the searcher's own word on it where it has one."""
    word = plain_text(getattr(searcher, "note", ""))
    ending = f"; {word}" if word else ""
    return lambda count: f"{name}: scoring {count} subnets, after {done} of {of}{ending}"


def _check(
    entry: Entry, nets: object, problem: Problem, known: dict[Subnet, float], count: int
) -> None:
    """Raise PluginError where a proposal is none."""
    reason = ""
    if not isinstance(nets, list) or not all(net in problem.space for net in nets):
        reason = "proposes what is no list of subnets of the space"
    elif len(set(nets)) != len(nets) or any(net in known for net in nets):
        reason = "proposes a subnet twice"
    elif len(nets) > count:
        reason = f"proposes {len(nets)} subnets where {count} are wanted"
    elif any(problem.cost.of(problem.space, net) > problem.budget for net in nets):
        reason = "proposes a subnet over the budget"
    if reason:
        raise PluginError(f"searcher {entry.name!r} of {entry.origin} {reason}", "mend the plugin")
