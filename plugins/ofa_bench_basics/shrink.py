"""Training without shrinking: the largest net alone, or any net at any time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import Field

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
    largest_only,
)


class LargestOptions(Options):
    """`cut`: the nets that can be cut out of the largest are judged too, though none is trained."""

    cut: bool = False


class Largest(ShrinkPolicy[LargestOptions]):
    """The largest net alone, as a plain network is trained."""

    def shrink_phases(self, space: Space, budget: Budget) -> list[Phase]:
        """One phase on the largest architecture."""
        judged = space if self.options.cut else largest_only(space)
        return [Phase("largest", judged, budget.epochs, {Role.LARGEST: 1})]

    def shrink_draws(self, step: Step, probe: Callable[[Subnet], float]) -> list[Draw]:
        """The largest architecture, at one of the space's resolutions."""
        return [Draw(largest_only(step.phase.space).sample(step.rng()), Role.LARGEST)]


class UniformOptions(Options):
    """`sampled`: nets a step. `measure`: "dims" draws per dimension, "archs" over distinct nets."""

    sampled: int = Field(default=4, ge=1)
    measure: Literal["dims", "archs"] = "dims"


class Uniform(ShrinkPolicy[UniformOptions]):
    """A few random nets a step, none of them forced."""

    def shrink_phases(self, space: Space, budget: Budget) -> list[Phase]:
        """One phase on the whole space."""
        return [Phase("uniform", space, budget.epochs, {Role.SAMPLED: self.options.sampled})]

    def shrink_draws(self, step: Step, probe: Callable[[Subnet], float]) -> list[Draw]:
        """Independent draws, each at its own resolution."""
        space, measure = step.phase.space, self.options.measure
        return [
            Draw(space.sample(step.draw_rng(number), measure=measure), Role.SAMPLED)
            for number in range(self.options.sampled)
        ]
