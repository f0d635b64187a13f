"""Strict fairness (FairNAS, algorithm 1): in each step, each choice of each block equally often."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

from ofa_bench import Budget, Draw, Options, Phase, Role, ShrinkPolicy, Space, Step, Subnet

Stage = tuple[tuple[int, int], ...]  # (kernel, expand) of the active blocks


class Fair(ShrinkPolicy[Options]):
    """As few nets a step as can give each choice its equal part; one update for all of them.

    Among a stage's nets of one depth, each kernel and each expand ratio comes equally often in
    every block, and all depths come equally often.
    """

    def shrink_phases(self, space: Space, budget: Budget) -> list[Phase]:
        """One phase on the whole space."""
        return [Phase("fair", space, budget.epochs, {Role.SAMPLED: nets_a_step(space)})]

    def shrink_draws(self, step: Step, probe: Callable[[Subnet], float]) -> list[Draw]:
        """Nets whose choices are dealt out without replacement, at one resolution."""
        space, rng = step.phase.space, step.rng()
        count = nets_a_step(space)
        stages = [_dealt(space, stage, count, rng) for stage in range(len(space.options))]
        size = rng.choice(space.resolutions)
        return [Draw(space.compose(net, size), Role.SAMPLED) for net in zip(*stages, strict=True)]


def nets_a_step(space: Space) -> int:
    """The least number of nets that divides equally among the choices of every block.

    A stage of d depths, K kernels and E ratios needs d·lcm(K, E); all stages their lcm.
    """
    return math.lcm(
        *(
            len(stage.depth)
            * math.lcm(len(stage.kernel), *(len(stage.at(depth)) for depth in stage.depth))
            for stage in space.options
        )
    )


def _dealt(space: Space, stage: int, count: int, rng: random.Random) -> list[Stage]:
    """A stage of each of `count` nets."""
    options = space.options[stage]
    part = count // len(options.depth)
    nets: list[Stage] = []
    for depth in options.depth:
        blocks = [
            zip(
                _shuffled(options.kernel, part, rng),
                _shuffled(options.at(depth), part, rng),
                strict=True,
            )
            for _ in range(depth)
        ]
        nets += zip(*blocks, strict=True)
    rng.shuffle(nets)
    return nets


def _shuffled(choices: Sequence[int], count: int, rng: random.Random) -> list[int]:
    """Each choice equally often, in random order."""
    return rng.sample(choices, count, counts=[count // len(choices)] * len(choices))
