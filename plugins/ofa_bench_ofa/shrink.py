"""Progressive shrinking (OFA, section 3.3): the largest net, then axis after axis."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
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
)

TEACHER_RATE = 2.6  # of the largest net at batch 2,048; all peaks are published beside it
AT_ONCE = Duration(0.0)


class ProgressiveOptions(Options):
    """Lengths in epochs of the published schedule, peaks as shares of the largest net's rate.

    Of the phases of one axis the last is `long`, those before it `short`; the kernel phase brings
    all its choices at once. `*_draws` are nets a step. `draws`: "reference" seeds draws and
    resolutions as the once-for-all code does. `measure`: "dims" draws per dimension, "archs" over
    distinct nets.
    """

    largest: Duration = Duration(180, "epochs")
    kernel: Duration = Duration(125, "epochs")
    short: Duration = Duration(25, "epochs")
    long: Duration = Duration(125, "epochs")
    warmup: Duration = Duration(5, "epochs")
    kernel_peak: float = Field(default=0.96 / TEACHER_RATE, gt=0)
    short_peak: float = Field(default=0.08 / TEACHER_RATE, gt=0)
    long_peak: float = Field(default=0.24 / TEACHER_RATE, gt=0)
    kernel_draws: int = Field(default=1, ge=1)
    depth_draws: int = Field(default=2, ge=1)
    expand_draws: int = Field(default=4, ge=1)
    draws: Literal["keyed", "reference"] = "keyed"
    measure: Literal["dims", "archs"] = "dims"

    @model_validator(mode="after")
    def _lengths_add_up(self) -> ProgressiveOptions:
        for name in ("largest", "kernel", "short", "long"):
            length: Duration = getattr(self, name)
            if length.unit != "epochs" or not length.amount:
                raise ValueError(f'{name} must be like "125 epochs": lengths make the whole')
        if self.draws == "reference" and self.measure != "dims":
            raise ValueError('draws = "reference" are drawn per dimension: measure = "dims"')
        return self


class Progressive(ShrinkPolicy[ProgressiveOptions]):
    """Largest, kernel, depth, expand: each phase with its own optimizer, peak and warm-up."""

    def reference_epochs(self, space: Space) -> float:
        """The sum of the published phases that this space has: 605 with kernels, 480 without."""
        return sum(phase.epochs for phase in self._published(space))

    def shrink_phases(self, space: Space, budget: Budget) -> list[Phase]:
        """The published phases, in proportion to the budget."""
        whole = self.reference_epochs(space)
        return [
            replace(phase, epochs=phase.epochs * budget.epochs / whole)
            for phase in self._published(space)
        ]

    def shrink_draws(self, step: Step, probe: Callable[[Subnet], float]) -> list[Draw]:
        """The largest net, or independent draws from the phase's space; one resolution a step."""
        space, passes = step.phase.space, step.phase.passes
        resolution = self._resolution(step, space)
        if Role.LARGEST in passes:
            return [Draw(space.largest.at(resolution), Role.LARGEST)]
        style, measure = self.options.draws, self.options.measure
        return [
            Draw(
                space.sample(step.draw_rng(number, style), measure, resolution=resolution),
                Role.SAMPLED,
            )
            for number in range(passes[Role.SAMPLED])
        ]

    def _resolution(self, step: Step, space: Space) -> int:
        if self.options.draws == "keyed":
            return step.rng("resolution").choice(space.resolutions)
        # The once-for-all loader's seed: batch and epoch, written one after the other.
        epoch, batch = divmod(step.segment_step, step.steps_per_epoch)
        return random.Random(int(f"{batch}{epoch:03d}")).choices(space.resolutions)[0]

    def _published(self, space: Space) -> Iterator[Phase]:
        """The phases with their published lengths; an axis with one choice has none."""
        o = self.options
        yield Phase("largest", largest_only(space), o.largest.amount, {Role.LARGEST: 1})
        kept = {"kernel": _most(space, "kernel"), "depth": 1, "expand": 1}
        if kept["kernel"] > 1:
            yield self._phase("kernel", _widest(space, kept), o.kernel, o.kernel_peak, o.warmup)
        for axis in ("depth", "expand"):
            most = _most(space, axis)
            for number in range(1, most):
                kept[axis] = number + 1
                last = number == most - 1
                short, long = (o.short, o.short_peak), (o.long, o.long_peak, o.warmup)
                phase = self._phase(
                    f"{axis}-{number}", _widest(space, kept), *(long if last else short)
                )
                if axis == "expand":
                    # Once a narrower net has been trained its channels must stay in front.
                    phase = replace(phase, sort="global" if number == 1 else "grouped")
                yield phase

    def _phase(
        self,
        name: str,
        space: Space,
        length: Duration,
        peak: float,
        warmup: Duration = AT_ONCE,
    ) -> Phase:
        axis = name.partition("-")[0]
        count: int = getattr(self.options, f"{axis}_draws")
        return Phase(
            name,
            space,
            length.amount,
            {Role.SAMPLED: count},
            fresh=True,
            peak=peak,
            warmup=warmup,
        )


def _choices(space: Space, axis: str) -> list[tuple[int, ...]]:
    return [getattr(stage, axis) for stage in space.options]


def _most(space: Space, axis: str) -> int:
    return max(map(len, _choices(space, axis)))


def _widest(space: Space, kept: dict[str, int]) -> Space:
    """The subspace of each stage's largest choices, as many of each axis as are kept."""
    kernel, depth, expand = (
        [choices[-kept[axis] :] for choices in _choices(space, axis)]
        for axis in ("kernel", "depth", "expand")
    )
    return space.only(kernel=kernel, depth=depth, expand=expand)
