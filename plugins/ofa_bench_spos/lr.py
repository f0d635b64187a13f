"""A straight fall to nothing (SPOS, section 4: the schedule of ShuffleNet V2)."""

from __future__ import annotations

from ofa_bench import LrOptions, LrPolicy, Step


class Linear(LrPolicy[LrOptions]):
    """The peak at a segment's first step, less by equal amounts at each of the others."""

    def shape(self, step: Step, clock: float) -> float:
        """1 - t/T."""
        return 1.0 - clock / step.clock_steps
