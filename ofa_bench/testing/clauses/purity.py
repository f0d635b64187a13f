"""Clauses on purity: policies answer by the step alone, or declare that they do not."""

from __future__ import annotations

from ofa_bench.space import Subnet
from ofa_bench.testing.case import Case, describe, draws_of, only, probe, replay
from ofa_bench.testing.clauses.lr import Answer, rate, shares
from ofa_bench.testing.verdict import Breach, clauses

on_draws = clauses("shrink", hook="shrink_draws")
on_rates = clauses("lr", hook="lr_at")
on_shares = clauses("lr", hook="lr_share")


@on_draws(
    "shrink_draws depends on the step alone",
    "the same subnets for a step in any order of calls, also by a new policy object",
)
def draws_are_pure(case: Case) -> None:
    """Resumed runs, plans and other ranks ask for steps out of order."""
    steps, schedule = case.schedule.steps, case.schedule
    bus = case.again().bus
    if not case.pure:
        replays = [replay(case.again().bus, schedule, 0, steps) for _ in range(2)]
        first, second = ([draws for draws, _ in steps_answered] for steps_answered in replays)
        asked = list(enumerate(second))
    else:
        first = [draws_of(bus, schedule.step(index)) for index in range(steps)]
        asked = [(i, draws_of(bus, schedule.step(i))) for i in reversed(range(steps))]
        asked += [(i, draws_of(case.again().bus, schedule.step(i))) for i in (0, steps // 2)]
    for index, draws in sorted(asked, key=lambda pair: pair[0]):
        if draws != first[index]:
            raise Breach(
                f"drew {describe(first[index])} at first, {describe(draws)} at a later call",
                step=index,
            )


@on_draws("a policy that probes sets pure = False", "`pure = False` in a policy that calls `probe`")
def probing_is_declared(case: Case) -> None:
    """Plans and shared beginnings rely on the declaration."""
    only(case.assembly.recipe.policies["shrink"].pure, "the policy declares `pure = False`")
    probed: list[Subnet] = []

    def watched(subnet: Subnet) -> float:
        probed.append(subnet)
        return probe(subnet)

    for step in case.steps():
        draws_of(case.assembly.bus, step, watched)
        if probed:
            raise Breach("it probes, and declares `pure = True`")


@on_rates(
    "lr_at depends on the step alone",
    "a function of the step (step.clock, step.epoch), not of earlier calls",
)
def lr_at_is_pure(case: Case) -> None:
    """Plans, curves and resumed runs ask for steps out of order."""
    _pure(case, rate)


@on_shares("lr_share depends on step and draw alone", "a function of the step and the draw")
def lr_share_is_pure(case: Case) -> None:
    _pure(case, shares)


def _pure(case: Case, answer: Answer) -> None:
    only(case.pure, "the policy declares `pure = False`")
    bus, schedule = case.again().bus, case.schedule
    first = [answer(bus, schedule.step(index)) for index in range(schedule.steps)]
    again = [(i, answer(bus, schedule.step(i))) for i in reversed(range(schedule.steps))]
    middle = schedule.steps // 2
    again.append((middle, answer(case.again().bus, schedule.step(middle))))
    for index, value in again:
        if value != first[index]:
            observed = f"it was {first[index]} at first, {value} at a later call"
            raise Breach(observed, step=index)
