"""Costs that add up over blocks: multiply-accumulates, parameters, a measured latency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor, isinf

from ofa_bench.errors import UsageError
from ofa_bench.space.space import Space
from ofa_bench.space.subnet import Subnet

BlockChoice = tuple[int, int, int]

COUNTS = {"macs": "MACs", "params": "params"}
"""The kinds of cost that are counted, with their units."""

FINE = 10**9
"""Other costs are added in whole billionths of their unit: the order of blocks changes no sum."""

BEYOND = 2**52
"""Steps over which a float holds several; no net costs so much."""


@dataclass(frozen=True)
class AdditiveCost:
    """What a subnet costs: a constant of its resolution and a term for each active block.

    `kind` is "macs", "params" or "latency", `unit` "MACs", "params" or "ms"; a predicted accuracy
    has the same form, of kind "score". `fixed` is by resolution; `blocks` is by resolution and then
    (slot, kernel, expand ratio). Sums are exact: in whole units for counts, else in whole
    billionths of the unit (`FINE`).
    """

    kind: str
    unit: str
    fixed: Mapping[int, float]
    blocks: Mapping[int, Mapping[BlockChoice, float]]

    @property
    def scale(self) -> int:
        """How many of the whole steps, in which costs are added, make one unit."""
        return 1 if self.kind in COUNTS else FINE

    def of(self, space: Space, subnet: Subnet) -> float:
        """The cost of a subnet, in `unit`; an int for counts. Raises UsageError if it has none."""
        try:
            terms = self.blocks[subnet.resolution]
            total = self.steps(self.fixed[subnet.resolution])
            for _, slot, kernel, expand in space.active(subnet):
                total += self.steps(terms[slot, kernel, expand])
        except (KeyError, IndexError) as error:
            raise UsageError(
                f"there is no {self.kind} of {subnet} in these costs",
                f"use costs of {space.name}, and a subnet of a resolution that they cover",
            ) from error
        return self.value(total)

    def steps(self, value: float) -> int:
        """A term in whole steps, the nearest."""
        return round(value * self.scale)

    def value(self, steps: int) -> float:
        """What a sum of steps is in `unit`; an int for counts."""
        return steps if self.scale == 1 else steps / self.scale

    def limit(self, budget: float) -> int:
        """The most steps whose value is at most `budget`."""
        if isinf(budget):
            return BEYOND if budget > 0 else -BEYOND
        steps = floor(budget * self.scale)
        if abs(steps) >= BEYOND:
            return steps
        while self.value(steps + 1) <= budget:
            steps += 1
        while self.value(steps) > budget:
            steps -= 1
        return steps

    def text(self, value: float) -> str:
        """A cost in words: `1,234,567 MACs`, `2.125 ms`."""
        return f"{value:,.0f} {self.unit}" if self.scale == 1 else f"{value:,.4g} {self.unit}"


def counted(space: Space, kind: str, classes: int) -> AdditiveCost:
    """The exact MACs or parameters of a space's subnets, at its listed resolutions.

    `kind` is "macs" or "params". Raises UsageError on another kind.
    """
    if kind not in COUNTS:
        raise UsageError(f"{kind!r} is not counted", f"counted are {' and '.join(COUNTS)}")
    tallies = {
        size: space.costs.macs(size) if kind == "macs" else space.costs.params
        for size in space.listed
    }
    return AdditiveCost(
        kind,
        COUNTS[kind],
        {size: tally.fixed(classes) for size, tally in tallies.items()},
        {size: tally.blocks for size, tally in tallies.items()},
    )
