"""Strict fairness (FairNAS, section 3.2): in each step, each choice of each block once."""

from __future__ import annotations

import random

from ofa_bench import Budget, Draw, Options, Phase, Role, ShrinkPolicy, Space, Step

AXES = ("kernel", "expand", "depth")


class Fair(ShrinkPolicy[Options]):
    """As many nets a step as the longest list of choices; shorter ones come round again."""

    def shrink_phases(self, space: Space, budget: Budget) -> list[Phase]:
        """One phase on the whole space."""
        return [Phase("fair", space, budget.epochs, {Role.SAMPLED: _nets(space)})]

    def shrink_draws(self, step: Step) -> list[Draw]:
        """Nets that cover every choice of every block, at one resolution."""
        space, rng = step.phase.space, step.rng()
        count = _nets(space)
        columns: dict[str, list[list[int]]] = {axis: [] for axis in AXES}
        for stage, slots in zip(space.options, space.blocks, strict=True):
            for _ in slots:
                columns["kernel"].append(_turns(stage.kernel, count, rng))
                columns["expand"].append(_turns(stage.at(stage.depth[-1]), count, rng))
            columns["depth"].append(_turns(stage.depth, count, rng))
        size = rng.choice(space.resolutions)
        return [Draw(_net(space, columns, n, size), Role.SAMPLED) for n in range(count)]


def _net(space: Space, columns: dict[str, list[list[int]]], number: int, size: int):
    spelled = {axis: [column[number] for column in columns[axis]] for axis in AXES}
    return space.subnet({**spelled, "resolution": size})


def _nets(space: Space) -> int:
    return max(len(space.choices(axis)) for axis in AXES)


def _turns(choices: tuple[int, ...], count: int, rng: random.Random) -> list[int]:
    """`count` entries in which each choice comes as often as any other, give or take one."""
    turns: list[int] = []
    while len(turns) < count:
        turns += rng.sample(choices, len(choices))
    return turns[:count]
