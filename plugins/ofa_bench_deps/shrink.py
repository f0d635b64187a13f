"""Full-model warm-up, then the sandwich (DεpS): shrinking is delayed, not gradual."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from pydantic import Field, model_validator

from ofa_bench import (
    Budget,
    Draw,
    Duration,
    Options,
    Phase,
    Role,
    ShrinkPolicy,
    Space,
    Step,
    Subnet,
    largest_only,
    sandwich,
)


class DelayedOptions(Options):
    """`start`: when the largest net stops being alone.

    `smallest`: force the smallest net into every step; the paper draws all at random.
    `exclude_largest`: keep it out of the random draws, as the paper writes. `sort`: channels as
    shrinking starts. `draws`: "reference" seeds them as the once-for-all code does. `measure`:
    "dims" draws per dimension, "archs" over distinct nets.
    """

    start: Duration = Duration.parse("145/270")
    smallest: bool = True
    sampled: int = Field(default=2, ge=0)
    exclude_largest: bool = False
    sort: Literal["none", "grouped", "global"] = "grouped"
    draws: Literal["keyed", "reference"] = "keyed"
    measure: Literal["dims", "archs"] = "dims"

    @model_validator(mode="after")
    def _reference_draws_by_dimension(self) -> DelayedOptions:
        if self.draws == "reference" and self.measure != "dims":
            raise ValueError('draws = "reference" are drawn per dimension: measure = "dims"')
        return self


class Delayed(ShrinkPolicy[DelayedOptions]):
    """The largest net alone for about half the run, then largest, smallest and random nets.

    One optimizer and one learning rate run through the switch.
    """

    def shrink_phases(self, space: Space, budget: Budget) -> list[Phase]:
        """`warm` on the largest architecture, `joint` on the whole space; one where the other
        would have no time."""
        o = self.options
        start = min(budget.resolve(o.start), budget.epochs)
        passes = {Role.LARGEST: 1, Role.SMALLEST: int(o.smallest), Role.SAMPLED: o.sampled}
        warm = Phase("warm", largest_only(space), start, {Role.LARGEST: 1})
        joint = Phase("joint", space, budget.epochs - start, {r: n for r, n in passes.items() if n})
        if not start:
            return [joint]
        if o.sort != "none":
            joint = replace(joint, sort=o.sort)
        return [warm, joint] if joint.epochs else [warm]

    def shrink_draws(self, step: Step, probe: Callable[[Subnet], float]) -> list[Draw]:
        """The phase's nets in training order, all at one resolution."""
        space, passes = step.phase.space, step.phase.passes
        smallest = Role.SMALLEST in passes
        draws = sandwich(space, step.rng(), sampled=0, smallest=smallest)
        for number in range(len(draws), len(draws) + passes.get(Role.SAMPLED, 0)):
            net = self._random(space, step, number)
            draws.append(Draw(net, Role.SAMPLED, regularized=False))
        size = step.rng("resolution").choice(space.resolutions)
        return [replace(draw, subnet=draw.subnet.at(size)) for draw in draws]

    def _random(self, space: Space, step: Step, number: int) -> Subnet:
        """A draw from the space, without the largest net where it is excluded."""
        o, top = self.options, space.largest
        rng = step.draw_rng(number, o.draws)
        net = space.sample(rng, o.measure, resolution=top.resolution)
        while o.exclude_largest and net == top and space.count > 1:
            net = space.sample(rng, o.measure, resolution=top.resolution)
        return net
