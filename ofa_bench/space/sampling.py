"""Sampling a subnet regardless of its cost."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from ofa_bench.errors import UsageError
from ofa_bench.space.options import StageOptions
from ofa_bench.space.subnet import Subnet

if TYPE_CHECKING:
    from ofa_bench.space.space import Space

Blocks = list[tuple[int, int]]


def check_measure(measure: str) -> None:
    """Raise UsageError on an unknown measure."""
    if measure not in ("dims", "archs"):
        raise UsageError(f"no measure {measure!r}", "measures: dims, archs")


def draw(space: Space, rng: random.Random, measure: str, resolution: int | None) -> Subnet:
    """A subnet by `measure`; the resolution is drawn last, unless given."""
    if measure == "archs":
        stages = [_uniform_stage(rng, option) for option in space.options]
    elif any(option.coupled for option in space.options):
        stages = _coupled_stages(space, rng)
    else:
        stages = _independent_stages(space, rng)
    return space.compose(stages, resolution or rng.choice(space.resolutions))


def _independent_stages(space: Space, rng: random.Random) -> list[Blocks]:
    """Every slot draws, active or not: all kernels, all expand ratios, all depths (OFA)."""
    slots = [
        (option, slot)
        for option, stage in zip(space.options, space.blocks, strict=True)
        for slot in stage
    ]
    kernel = [rng.choice(option.kernel) for option, _ in slots]
    expand = [rng.choice(option.ratios[0]) for option, _ in slots]
    depth = [rng.choice(option.depth) for option in space.options]
    return _cut(space, kernel, expand, depth)


def _coupled_stages(space: Space, rng: random.Random) -> list[Blocks]:
    """Draw the depths first, since the expand ratios depend on them, then the kernels (CompOFA)."""
    depth = [rng.choice(option.depth) for option in space.options]
    drawn = list(zip(space.options, space.blocks, depth, strict=True))
    expand = [rng.choice(option.at(d)) for option, slots, d in drawn for _ in slots]
    kernel = [rng.choice(option.kernel) for option, slots, _ in drawn for _ in slots]
    return _cut(space, kernel, expand, depth)


def _cut(space: Space, kernel: list[int], expand: list[int], depth: list[int]) -> list[Blocks]:
    return [
        [(kernel[slot], expand[slot]) for slot in slots[:d]]
        for slots, d in zip(space.blocks, depth, strict=True)
    ]


def _uniform_stage(rng: random.Random, option: StageOptions) -> Blocks:
    """Each distinct stage with the same probability: a depth weighs as many as it has."""
    left = rng.randrange(option.count)
    for depth in option.depth:
        left -= option.arrangements(depth)
        if left < 0:
            break
    ratios = option.at(depth)
    return [(rng.choice(option.kernel), rng.choice(ratios)) for _ in range(depth)]
