"""An exponential fall that ends in a constant (BigNAS, section 3)."""

from __future__ import annotations

import math

from pydantic import Field

from ofa_bench import Duration, LrOptions, LrPolicy, Step


class ExponentialOptions(LrOptions):
    """× `gamma` after each `every`, never under `floor`, a share of the peak.

    `per_epoch`: the same fall dealt out evenly, one factor as each reference epoch begins, the
    first included; with `every` one epoch it is gamma^(e+1) in epoch e, as in the DεpS repository.
    """

    gamma: float = Field(default=0.97, gt=0, lt=1)
    every: Duration = Duration(2.4, "epochs")
    floor: float = Field(default=0.05, ge=0, le=1)
    per_epoch: bool = False


class Exponential(LrPolicy[ExponentialOptions]):
    """A staircase of factors, then a constant ending."""

    def shape(self, step: Step, clock: float) -> float:
        """gamma to the number of intervals begun or passed, not under the floor."""
        o = self.options
        every = step.budget.resolve(o.every)
        epochs = clock / step.steps_per_epoch
        if not o.per_epoch:
            return max(o.floor, math.pow(o.gamma, _whole(epochs / every)))
        reference_epoch = step.budget.scaled(1.0)
        begun = _whole(epochs / reference_epoch) + 1
        return max(o.floor, math.pow(o.gamma, begun * reference_epoch / every))


def _whole(intervals: float) -> int:
    # An interval's last step must not fall short of its end by a rounding error.
    return math.floor(intervals + 1e-9)
