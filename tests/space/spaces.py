"""The shipped spaces, loaded once, and the configurations that golden rows name."""

from __future__ import annotations

import re
from functools import cache

from ofa_bench.space import Space, Subnet, load_space

from .golden import MIXED

loaded = cache(load_space)


def rows(text: str) -> list[tuple[str, list[int]]]:
    """The configurations and numbers of a golden table."""
    found = [re.split(r"\s{2,}", line.strip()) for line in text.strip().splitlines()]
    return [(name, [int(number) for number in numbers]) for name, *numbers in found]


def configured(space: Space, name: str, resolution: int) -> Subnet:
    """The subnet a golden row is about."""
    if name.startswith("k"):
        return space.subnet(name).at(resolution)
    kernel, expand, depth = MIXED[name] if name in MIXED else coupled(name)
    if len(space.blocks) == 6:
        # ProxylessNAS's 21st block takes what the 20th has.
        kernel, expand = (*kernel, kernel[-1]), (*expand, expand[-1])
    return space.subnet(
        {"kernel": kernel, "expand": expand, "depth": depth, "resolution": resolution}
    )


def coupled(name: str) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """`Comp(2,3,4,3,2) fixK`: ratios follow depths; kernels 3,5,3,3,5 by stage, or all 7."""
    depth = tuple(int(digit) for digit in re.findall(r"\d", name.split(")")[0]))
    stages = (3, 5, 3, 3, 5) if name.endswith("fixK") else (7,) * 5
    kernel = tuple(k for k in stages for _ in range(4))
    expand = tuple({2: 3, 3: 4, 4: 6}[d] for d in depth for _ in range(4))
    return kernel, expand, depth
