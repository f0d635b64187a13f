"""The sandwich rule (US-Nets, arXiv 1903.05134; BigNAS, section 3): both ends and the middle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import Field, model_validator

from ofa_bench import (
    Budget,
    Draw,
    Options,
    Phase,
    Role,
    ShrinkPolicy,
    Space,
    Step,
    Subnet,
    sandwich,
)


class SandwichOptions(Options):
    """`sampled`: random nets a step, beside both ends. `regularize_all`: dropout on every net.

    `draws`: "reference" seeds them as the once-for-all code does. `measure`: "dims" draws per
    dimension, "archs" over distinct nets.
    """

    smallest: bool = True
    sampled: int = Field(default=2, ge=0)
    regularize_all: bool = False
    draws: Literal["keyed", "reference"] = "keyed"
    measure: Literal["dims", "archs"] = "dims"

    @model_validator(mode="after")
    def _reference_draws_by_dimension(self) -> SandwichOptions:
        if self.draws == "reference" and self.measure != "dims":
            raise ValueError('draws = "reference" are drawn per dimension: measure = "dims"')
        return self


class Sandwich(ShrinkPolicy[SandwichOptions]):
    """Largest, smallest and a few random nets in every step, from the first to the last."""

    def shrink_phases(self, space: Space, budget: Budget) -> list[Phase]:
        """One phase on the whole space."""
        o = self.options
        passes = {Role.LARGEST: 1, Role.SMALLEST: int(o.smallest), Role.SAMPLED: o.sampled}
        return [Phase("sandwich", space, budget.epochs, {r: n for r, n in passes.items() if n})]

    def shrink_draws(self, step: Step, probe: Callable[[Subnet], float]) -> list[Draw]:
        """Both ends at the largest and smallest resolution, each random net at its own."""
        o, space = self.options, step.phase.space
        draws = sandwich(
            space,
            step.rng(),
            sampled=0,
            smallest=o.smallest,
            regularize_sampled=o.regularize_all,
        )
        for number in range(len(draws), len(draws) + o.sampled):
            net = space.sample(step.draw_rng(number, o.draws), o.measure)
            draws.append(Draw(net, Role.SAMPLED, o.regularize_all))
        return draws
