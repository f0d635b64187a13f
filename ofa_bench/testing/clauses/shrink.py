"""Clauses on shrink policies: phases, and the draws of every step."""

from __future__ import annotations

import math

from ofa_bench.draws import Role
from ofa_bench.errors import PolicyError
from ofa_bench.planning.compatibility import check_draws
from ofa_bench.schedule import Budget, Phase
from ofa_bench.testing.case import Case, draws_of, no_dice, only, probe, replay, told
from ofa_bench.testing.source_lines import asks_the_process, keeps_a_counter, suspect
from ofa_bench.testing.verdict import Breach, clause

PHASES, DRAWS = "shrink_phases", "shrink_draws"


@clause(
    "phases are pure", "shrink", hook=PHASES, expected="the same phases whenever they are asked for"
)
def phases_are_pure(case: Case) -> None:
    """Phases are laid out anew by plans and resumes."""
    space, budget = case.assembly.space, case.schedule.budget
    with no_dice(case):
        first = case.assembly.bus.phases(space, budget)
    for bus in (case.assembly.bus, case.again().bus):
        if _listed(bus.phases(space, budget)) != _listed(first):
            raise Breach("asked again, it answers otherwise", where=suspect_counter(case))


def _listed(phases: tuple[Phase, ...]) -> list[object]:
    return [(p.name, p.epochs, dict(p.passes), p.fresh, p.sort, p.peak) for p in phases]


@clause(
    "phases scale",
    "shrink",
    hook=PHASES,
    expected="twice the budget gives phases twice as long (budget.resolve, budget.scaled)",
)
def phases_scale(case: Case) -> None:
    """--scale and matched budgets stretch all phases alike."""
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


@clause(
    "draws are legal",
    "shrink",
    hook=DRAWS,
    expected="nets of step.phase.space, as many of each role as Phase.passes declares",
)
def draws_are_legal(case: Case) -> None:
    """Asked of every step; the engine asks it of each phase's first only."""
    bus = case.assembly.bus
    for index in range(case.schedule.steps):
        with case.step(index) as step:
            check_draws(step, draws_of(bus, step), case.assembly.science)


@clause(
    "the largest is first",
    "shrink",
    hook=DRAWS,
    expected="where the largest net is drawn, it is drawn first: others may learn from it",
)
def the_largest_is_first(case: Case) -> None:
    """In-place distillation reads the largest net's logits of the same step."""
    for index in range(case.schedule.steps):
        with case.step(index) as step:
            roles = [draw.role for draw in draws_of(case.assembly.bus, step)]
            if Role.LARGEST in roles[1:]:
                raise Breach(f"drew {', '.join(roles)}", step=index)


@clause(
    "draws are addressed",
    "shrink",
    hook=DRAWS,
    expected="randomness only from step.rng() or step.draw_rng(number)",
)
def draws_are_addressed(case: Case) -> None:
    """Shared generators differ between ranks and after a resume."""
    for index in range(case.schedule.steps):
        with case.step(index) as step, no_dice(case, index):
            draws_of(case.assembly.bus, step)


@clause(
    "draws are pure",
    "shrink",
    hook=DRAWS,
    expected="the same nets whenever a step is asked for, in any order, by a fresh policy too",
)
def draws_are_pure(case: Case) -> None:
    """A resume, a plan and another rank ask for steps out of order."""
    steps, schedule = case.schedule.steps, case.schedule
    bus = case.again().bus
    if not case.pure:
        told_of = [replay(case.again().bus, schedule, 0, steps) for _ in range(2)]
        first, second = ([draws for draws, _ in each] for each in told_of)
        asked = list(enumerate(second))
    else:
        first = [draws_of(bus, schedule.step(index)) for index in range(steps)]
        asked = [(i, draws_of(bus, schedule.step(i))) for i in reversed(range(steps))]
        asked += [(i, draws_of(case.again().bus, schedule.step(i))) for i in (0, steps // 2)]
    for index, draws in sorted(asked, key=lambda pair: pair[0]):
        if draws != first[index]:
            raise Breach(
                f"drew {told(first[index])} at first, {told(draws)} when asked again",
                step=index,
                where=suspect_counter(case),
            )


def suspect_counter(case: Case) -> str:
    """The line that most likely makes an answer depend on what was asked before."""
    return suspect(case.cls, keeps_a_counter) or suspect(case.cls, asks_the_process)


@clause(
    "draws vary",
    "shrink",
    hook=DRAWS,
    expected="sampled nets differ from step to step: step.rng(), not a generator of fixed seed",
)
def draws_vary(case: Case) -> None:
    """A generator made with one seed in every step draws one net for ever."""
    for number, phase in enumerate(case.schedule.phases):
        first, last = case.schedule.edges[number : number + 2]
        if not phase.passes.get(Role.SAMPLED) or phase.space.count < 8 or last - first < 8:
            continue
        nets = [
            tuple(d.subnet for d in draws_of(case.assembly.bus, case.schedule.step(index)))
            for index in range(first, last)
        ]
        if len(set(nets)) == 1:
            raise Breach(f"all steps of phase {phase.name!r} draw the same nets", step=first)


@clause(
    "probing is declared",
    "shrink",
    hook=DRAWS,
    expected="a policy that probes the network says `pure = False`",
)
def probing_is_declared(case: Case) -> None:
    """Plans and shared beginnings believe what a policy says of itself."""
    only(case.assembly.recipe.policies["shrink"].pure, "the policy says that it learns")
    asked: list[int] = []
    for index in range(case.schedule.steps):
        with case.step(index) as step:

            def watched(subnet: object, index: int = index) -> float:
                asked.append(index)
                return probe(subnet)  # type: ignore[arg-type]

            draws_of(case.assembly.bus, step, watched)
    if asked:
        raise Breach("it probes, and says `pure = True`", step=asked[0])


@clause(
    "the seed is heard",
    "shrink",
    hook=DRAWS,
    expected="what is random differs between seeds (step.rng() is addressed by the seed)",
)
def the_seed_is_heard(case: Case) -> None:
    """Runs of several seeds are no replicates if all draw alike."""
    sampled = any(p.passes.get(Role.SAMPLED) and p.space.count > 8 for p in case.schedule.phases)
    only(sampled, "nothing is sampled")
    try:
        other = case.again(seed=1)
    except PolicyError as error:
        raise Breach(error.message) from error
    for index in range(case.schedule.steps):
        own = draws_of(case.assembly.bus, case.schedule.step(index))
        if own != draws_of(other.bus, other.schedule.step(index)):
            return
    raise Breach("seeds 0 and 1 draw the same nets at every step")
