"""Random search: the baseline that every other search must beat."""

from __future__ import annotations

import random
from collections.abc import Mapping

from ofa_bench.search.affordable import AffordableSubnets
from ofa_bench.search.searcher import Problem
from ofa_bench.space.subnet import Subnet


class RandomSearcher:
    """Proposes nets inside the budget, every net there being equally likely."""

    def __init__(self) -> None:
        self._prepared: tuple[Problem, AffordableSubnets] | None = None

    def propose(
        self, problem: Problem, scored: Mapping[Subnet, float], count: int, rng: random.Random
    ) -> list[Subnet]:
        """See `Searcher.propose`."""
        if self._prepared is None or self._prepared[0] is not problem:
            inside = AffordableSubnets(problem.space, problem.cost, problem.budget)
            self._prepared = problem, inside
        return self._prepared[1].fresh(rng, count, scored.keys())
