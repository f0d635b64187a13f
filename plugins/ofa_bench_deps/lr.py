"""The ε ramp (DεpS, equation 4): smaller nets get a growing share of the largest net's rate."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from ofa_bench import Draw, Duration, LrOptions, LrPolicy, Role, Step


class RampedOptions(LrOptions):
    """A cosine over `floor`, a share of the base rate, and the smaller nets' share of it.

    `law` "linear-rate": share × rate grows by equal amounts to the cosine's value `ahead` of the
    ramp's end; "additive": the share itself does, from `least` to 1. `*_share` multiply, in joint
    phases only.
    """

    floor: float = Field(default=2.5e-3 / 2.6, ge=0, le=1)
    ramp: Duration = Duration.parse("5/270")
    law: Literal["linear-rate", "additive"] = "linear-rate"
    ahead: Duration = Duration(1, "epochs")
    least: float = Field(default=1e-4, ge=0, le=1)
    largest_share: float = Field(default=1.0, ge=0)
    smallest_share: float = Field(default=1.0, ge=0)
    sampled_share: float = Field(default=1.0, ge=0)


class Ramped(LrPolicy[RampedOptions]):
    """Full rate for the largest net throughout; the others are let in as their phase begins."""

    needs_ramp = True

    def shape(self, step: Step, clock: float) -> float:
        """(1 + cos(πt/T)) / 2, not under the floor."""
        return max(self.options.floor / step.phase.peak, _cosine(clock, step))

    def lr_share(self, step: Step, draw: Draw) -> float:
        """ε of a draw: 1 until the largest net has company, then its multiplier times the ramp."""
        if step.segment_step == step.phase_step:
            return 1.0
        o = self.options
        if draw.role is Role.LARGEST:
            return o.largest_share
        multiplier = o.smallest_share if draw.role is Role.SMALLEST else o.sampled_share
        return multiplier * self._ramp(step)

    def _ramp(self, step: Step) -> float:
        """ε, its step s counted from 1; exactly 1 once the ramp is over."""
        o, s, length = self.options, step.phase_step + 1, step.steps(self.options.ramp)
        if s > length:
            return 1.0
        if o.law == "additive":
            return o.least + (1 - o.least) * (s - 1) / length
        return s / length * self._target(step, length) / self.lr_at(step)

    def _target(self, step: Step, length: int) -> float:
        """η*: the cosine, without floor, one reference epoch past the ramp's end.

        The DεpS code reads it from tables of that off-by-one; clamped to the end of the run.
        """
        begin = max(0, step.segment_step - step.phase_step - step.warmup_steps)
        ahead = step.budget.resolve(self.options.ahead) * step.steps_per_epoch
        clock = min(begin + length + ahead, step.clock_steps)
        return step.base_lr * step.phase.peak * _cosine(clock, step)


def _cosine(clock: float, step: Step) -> float:
    return 0.5 * (1 + math.cos(math.pi * clock / step.clock_steps))
