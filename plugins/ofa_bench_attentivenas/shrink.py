"""Attentive sampling (AttentiveNAS, section 3): of k nets of one size, the best or the worst."""

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
    sandwich,
)


class AttentiveOptions(Options):
    """`look`: for the best or the worst of `candidates` nets of one size, by their loss.

    `sampled`: how many are chosen in a step. `sizes`: into how many equal ranges the MACs between
    the smallest and the largest net are cut.
    """

    look: Literal["best", "worst"] = "best"
    candidates: int = Field(default=3, ge=1)
    sampled: int = Field(default=2, ge=0)
    sizes: int = Field(default=69, ge=1)


class Attentive(ShrinkPolicy[AttentiveOptions]):
    """Largest, smallest, and nets that are chosen by their loss on the step's first images."""

    pure = False  # what is drawn depends on the weights

    def shrink_phases(self, space: Space, budget: Budget) -> list[Phase]:
        """One phase on the whole space; the probes are declared, so that plans count them."""
        o = self.options
        passes = {Role.LARGEST: 1, Role.SMALLEST: 1}
        passes |= {Role.SAMPLED: o.sampled, Role.PROBE: o.sampled * o.candidates}
        return [Phase("attentive", space, budget.epochs, {r: n for r, n in passes.items() if n})]

    def shrink_draws(self, step: Step, probe: Callable[[Subnet], float]) -> list[Draw]:
        """Both ends, then for each size drawn the candidate with the least or greatest loss."""
        o, space = self.options, step.phase.space
        pick = min if o.look == "best" else max
        draws = sandwich(space, step.rng(), sampled=0)
        for number in range(len(draws), len(draws) + o.sampled):
            net = pick(self._of_one_size(space, step, number), key=probe)
            draws.append(Draw(net, Role.SAMPLED, regularized=False))
        return draws

    def _of_one_size(self, space: Space, step: Step, number: int) -> list[Subnet]:
        """Random nets in the range of MACs in which another random net lies."""
        rng = step.draw_rng(number)
        low, high = space.macs(space.smallest), space.macs(space.largest)
        width = (high - low) // self.options.sizes + 1
        # Conditioned draws stand at listed resolutions, so this one does: the range is not empty.
        net = space.sample(rng, resolution=rng.choice(space.listed))
        first = low + (space.macs(net) - low) // width * width
        macs = (first, min(first + width - 1, high))
        return [space.sample(rng, macs=macs) for _ in range(self.options.candidates)]
