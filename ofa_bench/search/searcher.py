"""What a search asks of a searcher, which subnets to evaluate next; and random search."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from ofa_bench.search.constrained_subnets import ConstrainedSubnets
from ofa_bench.search.costs import AdditiveCost
from ofa_bench.space.space import Space
from ofa_bench.space.subnet import Subnet


@dataclass(frozen=True)
class Problem:
    """The best subnet of `space` that costs at most `budget`, in the unit of `cost`.

    Resolutions are those of `space.listed`; `macs` are the MACs of the same space, which predict
    accuracy where nothing else is known.
    """

    space: Space
    cost: AdditiveCost
    budget: float
    classes: int
    macs: AdditiveCost

    @cached_property
    def inside(self) -> ConstrainedSubnets:
        """The nets inside the budget. Raises UsageError if there are none."""
        return ConstrainedSubnets(self.space, self.cost, self.budget)

    def random_nets(
        self, rng: random.Random, count: int, known: Collection[Subnet] = ()
    ) -> list[Subnet]:
        """At most `count` random nets inside the budget, none twice and none of `known`.

        Every net is equally likely; there are fewer if hardly any is left. Raises UsageError if no
        net is inside the budget.
        """
        return self.inside.fresh(rng, count, known)


class Searcher(Protocol):
    """Registered as `catalogue.searcher(name, "package.module:Class")`, made without arguments."""

    def propose(
        self,
        problem: Problem,
        scored: Mapping[Subnet, float],
        count: int,
        rng: random.Random,
    ) -> list[Subnet]:
        """At most `count` subnets to evaluate next, none twice; [] if nothing is left.

        `scored` holds the accuracy on select, 0 to 1, of the subnets evaluated so far; of these
        none is proposed again, and none over the budget. Equal arguments give an equal answer.
        Raises UsageError if no subnet is inside the budget.
        """


class RandomSearcher:
    """The baseline: proposes nets inside the budget, every net there being equally likely."""

    def propose(
        self, problem: Problem, scored: Mapping[Subnet, float], count: int, rng: random.Random
    ) -> list[Subnet]:
        return problem.random_nets(rng, count, scored.keys())
