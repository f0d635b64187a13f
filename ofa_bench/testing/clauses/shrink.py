"""Clauses on shrink policies: phases, and the draws of every step."""

from __future__ import annotations

import math

from ofa_bench.draws import Role
from ofa_bench.errors import PolicyError
from ofa_bench.planning.compatibility import check_draws
from ofa_bench.schedule import Budget, Phase
from ofa_bench.testing.case import Case, draws_of, no_global_random, only
from ofa_bench.testing.verdict import Breach, clauses

PHASES, DRAWS = "shrink_phases", "shrink_draws"
on_phases = clauses("shrink", hook=PHASES)
on_draws = clauses("shrink", hook=DRAWS)


@on_phases("shrink_phases is deterministic", "the same phases on every call")
def phases_are_deterministic(case: Case) -> None:
    """Plans and resumed runs ask for phases again."""
    space, budget = case.assembly.space, case.schedule.budget
    with no_global_random():
        first = case.assembly.bus.phases(space, budget)
    for bus in (case.assembly.bus, case.again().bus):
        if _listed(bus.phases(space, budget)) != _listed(first):
            raise Breach("a second call gives other phases")


def _listed(phases: tuple[Phase, ...]) -> list[object]:
    return [(p.name, p.epochs, dict(p.passes), p.fresh, p.sort, p.peak) for p in phases]


@on_phases(
    "phase lengths scale with the budget",
    "twice the budget gives phases of twice the length (budget.resolve, budget.scaled)",
)
def phases_scale(case: Case) -> None:
    """`--scale` and matched budgets scale all phases by one factor."""
    space, budget = case.assembly.space, case.schedule.budget
    short = case.assembly.bus.phases(space, budget)
    long = case.assembly.bus.phases(space, Budget(2 * budget.epochs, budget.reference))
    for one, other in zip(short, long, strict=False):
        if not math.isclose(2 * one.epochs, other.epochs, rel_tol=1e-6):
            raise Breach(
                f"phase {one.name!r} lasts {one.epochs:g} of {budget.epochs:g} epochs, but "
                f"{other.epochs:g} of {2 * budget.epochs:g}"
            )
    if len(short) != len(long):
        raise Breach(f"{len(short)} phases in one budget, {len(long)} in twice that")


@on_draws(
    "draws match the phase",
    "subnets of step.phase.space, as many of each role as Phase.passes declares",
)
def draws_match_phase(case: Case) -> None:
    """Checked at every step; training checks only the first step of each phase."""
    bus = case.assembly.bus
    for step in case.steps():
        check_draws(step, draws_of(bus, step), case.assembly.science)


@on_draws(
    "the largest subnet is drawn first",
    "if the largest subnet is drawn, it is drawn first: others may distill from it",
)
def largest_is_first(case: Case) -> None:
    """In-place distillation reads the largest subnet's logits of the same step."""
    for step in case.steps():
        roles = [draw.role for draw in draws_of(case.assembly.bus, step)]
        if Role.LARGEST in roles[1:]:
            raise Breach(f"drew {', '.join(roles)}")


@on_draws(
    "randomness comes from step.rng", "randomness only from step.rng() or step.draw_rng(number)"
)
def randomness_is_addressed(case: Case) -> None:
    """Global generators differ between ranks and after a resume."""
    for step in case.steps():
        with no_global_random():
            draws_of(case.assembly.bus, step)


@on_draws(
    "sampled subnets vary between steps",
    "sampled subnets differ between steps: step.rng(), not a generator with a fixed seed",
)
def draws_vary(case: Case) -> None:
    """A generator seeded alike at every step always draws the same subnet."""
    for number, phase in enumerate(case.schedule.phases):
        first, last = case.schedule.edges[number : number + 2]
        if not phase.passes.get(Role.SAMPLED) or phase.space.count < 8 or last - first < 8:
            continue
        nets = [
            tuple(d.subnet for d in draws_of(case.assembly.bus, case.schedule.step(index)))
            for index in range(first, last)
        ]
        if len(set(nets)) == 1:
            raise Breach(f"all steps of phase {phase.name!r} draw the same subnets", step=first)


@on_draws(
    "different seeds sample different subnets",
    "sampled subnets differ between seeds (step.rng() depends on the seed)",
)
def seeds_differ(case: Case) -> None:
    """Runs with several seeds are not replicates if all draw the same subnets."""
    sampled = any(p.passes.get(Role.SAMPLED) and p.space.count > 8 for p in case.schedule.phases)
    only(sampled, "nothing is sampled")
    try:
        other = case.again(seed=1)
    except PolicyError as error:
        raise Breach(error.message) from error
    for index in range(case.schedule.steps):
        draws = draws_of(case.assembly.bus, case.schedule.step(index))
        if draws != draws_of(other.bus, other.schedule.step(index)):
            return
    raise Breach("seeds 0 and 1 draw the same subnets at every step")
