"""All nets of a space with their cost and score, written without the code under test."""

from __future__ import annotations

import random
from fractions import Fraction
from functools import reduce

import numpy as np

from ofa_bench.search.costs import AdditiveCost, counted
from ofa_bench.space.space import Space, load_space

CLASSES = 10


def additive(space: Space, seed: int, kind: str = "score", places: int = 3) -> AdditiveCost:
    """Random terms of either sign; few decimal places make many ties."""
    rng = random.Random(seed)
    keys = list(counted(space, "params", CLASSES).blocks[space.listed[0]])
    low = 0.001 if kind == "latency" else -1.0
    return AdditiveCost(
        kind,
        "ms" if kind == "latency" else "accuracy",
        {size: round(rng.uniform(low, 1), places) for size in space.listed},
        {size: {key: round(rng.uniform(low, 1), places) for key in keys} for size in space.listed},
    )


def sums(space: Space, cost: AdditiveCost, size: int) -> np.ndarray:
    """The exact cost of each net at a resolution, in billionths, in the order of iteration."""
    total = np.array([_billionths(cost.fixed[size])])
    for option, slots in zip(space.options, space.blocks, strict=True):
        stage = np.array(
            [
                sum(
                    _billionths(cost.blocks[size][slot, kernel, expand])
                    for slot, (kernel, expand) in zip(slots, blocks, strict=False)
                )
                for blocks in option.stages()
            ]
        )
        total = reduce(np.add, (total[:, None], stage[None, :])).ravel()
    return total


def everything(space: Space, cost: AdditiveCost, score: AdditiveCost) -> np.ndarray:
    """(cost, score) in billionths of every net at every listed resolution."""
    columns = [
        np.concatenate([sums(space, terms, size) for size in space.listed])
        for terms in (cost, score)
    ]
    return np.column_stack(columns)


def front(pairs: np.ndarray) -> list[tuple[int, int]]:
    """The pairs that no other beats in both, by a scan in order of cost."""
    kept: list[tuple[int, int]] = []
    for cost, score in pairs[np.lexsort((-pairs[:, 1], pairs[:, 0]))].tolist():
        if not kept or score > kept[-1][1]:
            kept.append((cost, score))
    return kept


def _billionths(value: float) -> int:
    return round(Fraction(value) * 10**9)


def coupled() -> Space:
    """Expand ratios that depend on the depth, as CompOFA couples them, at three resolutions."""
    space = load_space("mobilenetv3-ofa").only(
        depth=[(2, 3), (2, 4), (3,), (2,), (2,)],
        expand=[{2: (3, 4), 3: (6,)}, {2: (3,), 4: (4, 6)}, (4,), (6,), (3,)],
        kernel=[(3, 5), (3,), (7,), (3,), (5, 7)],
        resolution=(128, 160, 224),
    )
    assert space.count * 3 == 3 * (16 + 8) * (1 + 16) * 4
    return space
