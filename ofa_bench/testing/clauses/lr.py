"""Clauses on learning-rate policies: the rate of every step, the share of every draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ofa_bench.hooks.bus import Bus
from ofa_bench.schedule import Step
from ofa_bench.testing.case import Case, draws_of, no_global_random
from ofa_bench.testing.verdict import Breach, clauses

Answer = Callable[[Bus, Step], Any]
on_rates = clauses("lr", hook="lr_at")
on_shares = clauses("lr", hook="lr_share")


def rate(bus: Bus, step: Step) -> float:
    return bus.lr_at(step)


def shares(bus: Bus, step: Step) -> list[float]:
    return [bus.lr_share(step, draw) for draw in draws_of(bus, step)]


@on_rates("lr_at is finite and not negative", "finite numbers >= 0")
def lr_at_is_legal(case: Case) -> None:
    _legal(case, rate)


@on_shares("lr_share is finite and not negative", "finite numbers >= 0")
def lr_share_is_legal(case: Case) -> None:
    _legal(case, shares)


def _legal(case: Case, answer: Answer) -> None:
    for step in case.steps():
        with no_global_random():
            answer(case.assembly.bus, step)


@on_rates("lr_at is above 0 at some step", "a rate above 0 at some step")
def lr_at_is_above_zero(case: Case) -> None:
    """A rate of 0 throughout trains nothing."""
    rates = [rate(case.assembly.bus, case.schedule.step(i)) for i in range(case.schedule.steps)]
    if not any(rates):
        raise Breach("the rate is 0 at every step")
