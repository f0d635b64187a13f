"""Attentive sampling (AttentiveNAS, section 3): of k nets of one size, the best or the worst."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import Field

from ofa_bench import Budget, Draw, Options, Phase, Role, ShrinkPolicy, Space, Step, Subnet


class AttentiveOptions(Options):
    """`look`: for which of `candidates` nets of one size; `sampled`: sizes a step; `sizes`: how
    many there are between the smallest net's MACs and the largest's."""

    look: Literal["best", "worst"] = "worst"
    candidates: int = Field(default=3, ge=1)
    sampled: int = Field(default=2, ge=1)
    sizes: int = Field(default=8, ge=1)


class Attentive(ShrinkPolicy[AttentiveOptions]):
    """Largest, smallest, and nets chosen by their loss on the step's first images."""

    pure = False  # what it draws depends on the weights

    def shrink_phases(self, space: Space, budget: Budget) -> list[Phase]:
        """One phase on the whole space; probes are declared with the draws."""
        o = self.options
        passes = {Role.LARGEST: 1, Role.SMALLEST: 1, Role.SAMPLED: o.sampled}
        passes[Role.PROBE] = o.sampled * o.candidates
        return [Phase("attentive", space, budget.epochs, passes)]

    def shrink_draws(self, step: Step, probe: Callable[[Subnet], float]) -> list[Draw]:
        """The sandwich, its filling by `probe`."""
        space = step.phase.space
        draws = [Draw(space.largest, Role.LARGEST), Draw(space.smallest, Role.SMALLEST, False)]
        pick = min if self.options.look == "best" else max
        for number in range(self.options.sampled):
            nets = self._of_one_size(space, step, number)
            draws.append(Draw(pick(nets, key=probe), Role.SAMPLED, regularized=False))
        return draws

    def _of_one_size(self, space: Space, step: Step, number: int) -> list[Subnet]:
        """Nets whose MACs lie where those of a random net do: size drawn first, then nets."""
        rng = step.draw_rng(number)
        low, high = space.macs(space.smallest), space.macs(space.largest)
        width = (high - low) // self.options.sizes + 1
        place = (space.macs(space.sample(rng)) - low) // width
        bounds = (low + place * width, min(low + (place + 1) * width - 1, high))
        return [space.sample(rng, macs=bounds) for _ in range(self.options.candidates)]
