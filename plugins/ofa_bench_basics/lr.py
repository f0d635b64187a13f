"""Shapes of the learning rate between a segment's warm-up and its end."""

from __future__ import annotations

import math

from pydantic import Field, field_validator

from ofa_bench import LrOptions, LrPolicy, Step


class Constant(LrPolicy[LrOptions]):
    """The peak throughout."""

    def shape(self, step: Step, clock: float) -> float:
        """Always 1."""
        return 1.0


class CosineOptions(LrOptions):
    """`floor`: the least rate, as a share of the base rate."""

    floor: float = Field(default=0.0, ge=0, le=1)


class Cosine(LrPolicy[CosineOptions]):
    """Half a cosine, falling once in each segment (SGDR, arXiv 1608.03983, without restarts)."""

    def shape(self, step: Step, clock: float) -> float:
        """(1 + cos(πt/T)) / 2, not under the floor."""
        falling = 0.5 * (1 + math.cos(math.pi * clock / step.clock_steps))
        return max(self.options.floor / step.phase.peak, falling)


class StepOptions(LrOptions):
    """The rate is multiplied by `gamma` at each of `milestones`, shares of the segment's clock."""

    gamma: float = Field(default=0.1, gt=0, le=1)
    milestones: tuple[float, ...] = (0.5, 0.75)

    @field_validator("milestones")
    @classmethod
    def _ascending_shares(cls, milestones: tuple[float, ...]) -> tuple[float, ...]:
        if list(milestones) != sorted(set(milestones)) or not all(0 < m < 1 for m in milestones):
            raise ValueError("milestones must ascend between 0 and 1")
        return milestones


class Steps(LrPolicy[StepOptions]):
    """Falling in steps."""

    def shape(self, step: Step, clock: float) -> float:
        """`gamma` to the number of milestones passed."""
        passed = sum(clock >= share * step.clock_steps for share in self.options.milestones)
        return float(self.options.gamma**passed)
