"""The subnets inside a range of any additive cost: listed where they are few, else sampled."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import replace

from ofa_bench.search.costs import AdditiveCost
from ofa_bench.search.dynamic import cheapest, dearest, infeasible
from ofa_bench.space.costs import Tally
from ofa_bench.space.space import Space
from ofa_bench.space.subnet import Subnet
from ofa_bench.space.table import Table

FEW = 5_000  # up to so many nets are listed one by one
LEAST_BINS = 16_384  # whole steps between the cheapest and the dearest net, if so many there are
TRIES = 50_000  # nets drawn before a range counts as empty


class ConstrainedSubnets:
    """The subnets of a space that cost at most `budget`, each counted once per listed resolution.

    Counting and sampling are the space's, with this cost in place of MACs, in steps coarse enough
    for exact bins. A net whose rounded cost is inside the range and whose cost is not is drawn
    again, so a sample is uniform over the nets inside. Raises UsageError if there are none, with
    the cheapest net's cost; the cost of this does not depend on the space's size.
    """

    def __init__(self, space: Space, cost: AdditiveCost, budget: float) -> None:
        self.space, self.cost = space, cost
        self.least = cheapest(space, cost)
        if self.least > budget:
            raise infeasible(space, cost, budget)
        self.most = min(budget, dearest(space, cost))
        self._least = cost.steps(self.least)
        span = cost.steps(dearest(space, cost)) - self._least
        self._grain = max(1, span // LEAST_BINS)
        slots = space.blocks[-1][-1] + 1
        self._slack = (slots + 1) // 2 + 1 if self._grain > 1 else 0
        self._priced = self._in_steps()
        self.few = self._listed()

    def _in_steps(self) -> Space:
        """The space with the cost, in coarse steps above the cheapest net's, in place of MACs."""
        grain, cost = self._grain, self.cost
        tallies = {
            size: Tally(
                round((cost.steps(cost.fixed[size]) - self._least) / grain),
                0,
                {key: round(cost.steps(term) / grain) for key, term in cost.blocks[size].items()},
            )
            for size in self.space.listed
        }

        def costs(table: Table, size: int | None) -> Tally:
            return tallies[self.space.listed[0] if size is None else size]

        table = replace(self.space.table, costs=costs)
        return Space(table, self.space.options, self.space.resolutions)

    def _range(self, low: float, high: float) -> tuple[int, int]:
        ends = [self.cost.limit(end) - self._least for end in (low, high)]
        return ends[0] // self._grain - self._slack, ends[1] // self._grain + self._slack

    def _listed(self) -> list[Subnet] | None:
        nets = self._priced.nets_in(*self._range(self.least, self.most), 0, FEW)
        if nets is None:
            return None
        return [net for net in nets if self.cost.of(self.space, net) <= self.most]

    def sample(self, rng: random.Random, low: float | None = None) -> Subnet | None:
        """A net that costs `low` to the budget, all of them being equally likely.

        None if there seems to be none: in a range that has no more than one in TRIES of the nets
        just outside it.
        """
        low = self.least if low is None else min(low, self.most)
        if self.few is not None:
            inside = [net for net in self.few if self.cost.of(self.space, net) >= low]
            return rng.choice(inside) if inside else None
        ends = self._range(low, self.most)
        for _ in range(TRIES):
            net = self._priced.sample(rng, "archs", ends, 0)
            if low <= self.cost.of(self.space, net) <= self.most:
                return net
        return None

    def left(self, known: Collection[Subnet]) -> list[Subnet] | None:
        """The nets that are not `known`, the cheapest first; None if they are not listed."""
        return None if self.few is None else [net for net in self.few if net not in known]

    def fresh(
        self,
        rng: random.Random,
        count: int,
        known: Collection[Subnet],
        low: float | None = None,
    ) -> list[Subnet]:
        """At most `count` samples, none twice and none of `known`; fewer if hardly any is left."""
        left = self.left(known)
        if left is not None:
            if low is not None:
                left = [net for net in left if self.cost.of(self.space, net) >= low]
            return rng.sample(left, min(count, len(left)))
        nets: dict[Subnet, None] = {}
        for _ in range(20 * count):
            if len(nets) == count:
                break
            net = self.sample(rng, low)
            if net is None:
                break
            if net not in known:
                nets[net] = None
        return list(nets)
