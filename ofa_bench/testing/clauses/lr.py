"""Clauses on learning-rate policies: every step's rate, every draw's share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ofa_bench.hooks.bus import Bus
from ofa_bench.schedule import Step
from ofa_bench.testing.case import Case, draws_of, no_dice, only
from ofa_bench.testing.clauses.shrink import suspect_counter
from ofa_bench.testing.verdict import Breach, clause

Answer = Callable[[Bus, Step], Any]


def rate(bus: Bus, step: Step) -> float:
    """A step's rate."""
    return bus.lr_at(step)


def shares(bus: Bus, step: Step) -> list[float]:
    """Its draws' shares of that."""
    return [bus.lr_share(step, draw) for draw in draws_of(bus, step)]


@clause("rates are legal", "lr", hook="lr_at", expected="finite numbers, none below 0")
def rates_are_legal(case: Case) -> None:
    """Asked of every step."""
    _legal(case, rate)


@clause("shares are legal", "lr", hook="lr_share", expected="finite numbers, none below 0")
def shares_are_legal(case: Case) -> None:
    """Asked of every draw of every step."""
    _legal(case, shares)


def _legal(case: Case, answer: Answer) -> None:
    for index in range(case.schedule.steps):
        with case.step(index) as step, no_dice(case, index):
            answer(case.assembly.bus, step)


@clause(
    "rates are pure",
    "lr",
    hook="lr_at",
    expected="a function of the step it is given (step.clock, step.epoch), not of earlier calls",
)
def rates_are_pure(case: Case) -> None:
    """Plans, curves and resumes ask for steps out of order."""
    _pure(case, rate)


@clause("shares are pure", "lr", hook="lr_share", expected="a function of the step and the draw")
def shares_are_pure(case: Case) -> None:
    """As rates are."""
    _pure(case, shares)


def _pure(case: Case, answer: Answer) -> None:
    only(case.pure, "the policy says that it learns")
    bus, schedule = case.again().bus, case.schedule
    first = [answer(bus, schedule.step(index)) for index in range(schedule.steps)]
    again = [(i, answer(bus, schedule.step(i))) for i in reversed(range(schedule.steps))]
    middle = schedule.steps // 2
    again.append((middle, answer(case.again().bus, schedule.step(middle))))
    for index, value in again:
        if value != first[index]:
            raise Breach(
                f"it was {first[index]} at first, {value} when asked again",
                step=index,
                where=suspect_counter(case),
            )


@clause("something is learned", "lr", hook="lr_at", expected="a rate above 0 at some step")
def something_is_learned(case: Case) -> None:
    """A shape that is 0 throughout trains nothing."""
    rates = [rate(case.assembly.bus, case.schedule.step(i)) for i in range(case.schedule.steps)]
    if not any(rates):
        raise Breach("every step's rate is 0")
