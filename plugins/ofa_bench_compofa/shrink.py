"""Compound shrinking (CompOFA, section 3): a stage's depth fixes the expand ratio of its blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import zip_longest
from typing import Literal

from pydantic import Field, field_validator

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

TEACHER_RATE = 2.6  # of the largest net at batch 2,048; both peaks are published beside it


class CoupledOptions(Options):
    """Lengths in epochs of the published schedule, peaks as shares of the largest net's rate.

    `kernels`: one per stage, held where the stage offers it; empty leaves kernels as they are.
    """

    largest: Duration = Duration(180, "epochs")
    short: Duration = Duration(25, "epochs")
    long: Duration = Duration(125, "epochs")
    warmup: Duration = Duration(5, "epochs")
    short_peak: float = Field(default=0.08 / TEACHER_RATE, gt=0)
    long_peak: float = Field(default=0.24 / TEACHER_RATE, gt=0)
    sampled: int = Field(default=4, ge=1)
    kernels: tuple[int, ...] = (3, 5, 3, 3, 5)
    resort: bool = True
    measure: Literal["dims", "archs"] = "dims"

    @field_validator("largest", "short", "long")
    @classmethod
    def _in_epochs(cls, length: Duration) -> Duration:
        if length.unit != "epochs" or not length.amount:
            raise ValueError('must be like "125 epochs": lengths make the whole')
        return length


class Coupled(ShrinkPolicy[CoupledOptions]):
    """The largest net, then the coupled nets twice: briefly and gently, then long."""

    def reference_epochs(self, space: Space) -> float:
        """180 + 25 + 125 = 330, on any space."""
        return sum(phase.epochs for phase in self._published(space))

    def shrink_phases(self, space: Space, budget: Budget) -> list[Phase]:
        """The published phases, in proportion to the budget."""
        whole = self.reference_epochs(space)
        return [
            replace(phase, epochs=phase.epochs * budget.epochs / whole)
            for phase in self._published(space)
        ]

    def shrink_draws(self, step: Step, probe: Callable[[Subnet], float]) -> list[Draw]:
        """The largest net, or independent coupled draws; one resolution a step."""
        space, passes = step.phase.space, step.phase.passes
        size = step.rng("resolution").choice(space.resolutions)
        if Role.LARGEST in passes:
            return [Draw(space.largest.at(size), Role.LARGEST)]
        measure = self.options.measure
        return [
            Draw(space.sample(step.draw_rng(number), measure, resolution=size), Role.SAMPLED)
            for number in range(passes[Role.SAMPLED])
        ]

    def _published(self, space: Space) -> Iterator[Phase]:
        o = self.options
        yield Phase("largest", largest_only(space), o.largest.amount, {Role.LARGEST: 1})
        short = Phase(
            "coupled-1",
            coupled(space, o.kernels),
            o.short.amount,
            {Role.SAMPLED: o.sampled},
            fresh=True,
            sort="global",
            peak=o.short_peak,
        )
        yield short
        yield replace(
            short,
            name="coupled-2",
            epochs=o.long.amount,
            sort="global" if o.resort else None,
            peak=o.long_peak,
            warmup=o.warmup,
        )


def coupled(space: Space, kernels: tuple[int, ...]) -> Space:
    """The subspace in which a stage's depth fixes its expand ratio.

    A stage whose depth never varies keeps its ratios; a stage that does not offer the kernel meant
    for it keeps its kernels.
    """
    held = [
        (wanted,) if wanted in stage.kernel else stage.kernel
        for stage, wanted in zip_longest(space.options, kernels[: len(space.options)])
    ]
    ratios = [
        coupling(stage.depth, stage.expand) if stage.elastic else stage.expand
        for stage in space.options
    ]
    return space.only(kernel=held, expand=ratios)


def coupling(depths: tuple[int, ...], ratios: tuple[int, ...]) -> dict[int, tuple[int]]:
    """Depth to ratio: the i-th of D depths takes the ratio of rank round(i·(E−1)/(D−1)).

    On depths 2, 3, 4 and ratios 3, 4, 6 this is CompOFA's published map.
    """
    top, last = len(ratios) - 1, len(depths) - 1
    return {
        depth: (ratios[round(place * top / last) if last else top],)
        for place, depth in enumerate(depths)
    }
