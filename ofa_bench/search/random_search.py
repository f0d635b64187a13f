"""Random search: the baseline that every other search must beat."""

from __future__ import annotations

import random
from collections.abc import Mapping

from ofa_bench.search.searcher import Problem
from ofa_bench.space.subnet import Subnet


class RandomSearcher:
    """Proposes nets inside the budget, every net there being equally likely."""

    def propose(
        self, problem: Problem, scored: Mapping[Subnet, float], count: int, rng: random.Random
    ) -> list[Subnet]:
        return problem.random_nets(rng, count, scored.keys())
