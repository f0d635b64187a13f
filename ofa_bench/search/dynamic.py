"""The best score under a budget, exactly: dynamic programming over blocks, with Pareto sets.

Cost and score add up over blocks, in whole steps (`AdditiveCost.steps`). A layer holds what nets
built so far can come to: of their (cost, score) pairs those that no other beats in both. Whatever
follows adds the same to all of a layer, so nothing that is dropped could have become an answer: the
last layer is the exact front. This is the list method of Nemhauser and Ullmann (1969) for a
multiple-choice knapsack, a block's (kernel, expand ratio) being the choice.

A net under a budget is found by walking the layers back. Since a layer knows the best beginning for
every sum that is left, walking back best first lists all nets of a budget in descending score, each
of them once and without a dead end.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ofa_bench.errors import UsageError
from ofa_bench.search.costs import AdditiveCost, BlockChoice
from ofa_bench.space.space import Space
from ofa_bench.space.subnet import Subnet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

NOTHING: tuple[BlockChoice, ...] = ()
MOST_PAIRS = 200_000  # pairs of one layer; over it scores are rounded, see BestSubnets
COARSER = 32


class _Crowded(Exception):
    """A layer has more than MOST_PAIRS pairs."""


@dataclass(frozen=True)
class ScoredSubnet:
    """A subnet with its cost and score, each in its unit."""

    subnet: Subnet
    cost: float
    score: float


@dataclass(frozen=True)
class _Step:
    """One more block, or none where a stage ends."""

    source: int
    block: tuple[BlockChoice, ...]
    cost: int
    score: int


class _Layer:
    """The Pareto set of (cost, score), both strictly ascending, and the steps that lead to it."""

    def __init__(self, steps: Sequence[_Step], cost: Integers, score: Integers) -> None:
        self.steps, self.cost, self.score = steps, cost, score

    def best(self, limit: int) -> tuple[int, int] | None:
        """The largest score for at most `limit`, and the least cost that has it."""
        index = int(self.cost.searchsorted(limit, side="right")) - 1
        return None if index < 0 else (int(self.score[index]), int(self.cost[index]))


class _Layers:
    """The layers of one resolution; constants of the resolution stand in the first."""

    def __init__(
        self,
        space: Space,
        cost: AdditiveCost,
        score: AdditiveCost,
        size: int,
        limit: int,
        grain: int,
    ) -> None:
        import numpy as np

        self._costs = _steps(cost, size)
        self._scores = {key: _nearest(n, grain) for key, n in _steps(score, size).items()}
        stages = list(zip(space.options, space.blocks, strict=True))
        least = [_least(option, slots, self._costs) for option, slots in stages]
        fixed = _nearest(score.steps(score.fixed[size]), grain)
        base = cost.steps(cost.fixed[size])
        self.layers = [_Layer((), np.array([base]), np.array([fixed]))]
        for stage, (option, slots) in enumerate(stages):
            self._spare = limit - sum(least[stage + 1 :])
            self._add_stage(option, slots)

    def _add_stage(self, option: Any, slots: Sequence[int]) -> None:
        """A chain of blocks for each list of expand ratios, which may depend on the depth."""
        start, ends = len(self.layers) - 1, []
        for ratios in dict.fromkeys(map(option.at, option.depth)):
            depths = [depth for depth in option.depth if option.at(depth) == ratios]
            before = start
            for depth in range(max(depths) + 1):
                if depth:
                    choices = [(slots[depth - 1], k, e) for k in option.kernel for e in ratios]
                    before = self._add([self._step(before, choice) for choice in choices])
                if depth in depths:
                    ends.append(before)
        if len(ends) > 1:
            self._add([_Step(end, NOTHING, 0, 0) for end in ends])

    def _step(self, source: int, choice: BlockChoice) -> _Step:
        return _Step(source, (choice,), self._costs[choice], self._scores[choice])

    def _add(self, steps: list[_Step]) -> int:
        import numpy as np

        costs = [self.layers[step.source].cost + step.cost for step in steps]
        scores = [self.layers[step.source].score + step.score for step in steps]
        cut = [int(cost.searchsorted(self._spare, side="right")) for cost in costs]
        cost = np.concatenate([some[:end] for some, end in zip(costs, cut, strict=True)])
        score = np.concatenate([some[:end] for some, end in zip(scores, cut, strict=True)])
        self.layers.append(_Layer(steps, *undominated(cost, score)))
        if len(self.layers[-1].cost) > MOST_PAIRS:
            raise _Crowded
        return len(self.layers) - 1


def undominated(cost: Integers, score: Integers) -> tuple[Integers, Integers]:
    """The pairs for which no other costs at most as much and scores at least as much.

    Both results ascend strictly. Sorted runs in `cost` are merged, not sorted again.
    """
    import numpy as np

    order = cost.argsort(kind="stable")
    cost, score = cost[order], np.maximum.accumulate(score[order])
    last = np.append(cost[1:] != cost[:-1], True)[: len(cost)]
    cost, score = cost[last], score[last]
    better = np.insert(score[1:] > score[:-1], 0, True)[: len(cost)]
    return cost[better], score[better]


class BestSubnets:
    """The exact optimum of an additive score under every budget of an additive cost.

    `most` leaves out what costs more, which makes the sets smaller. Resolutions are the listed.
    Exact wherever the sets stay under MOST_PAIRS pairs, which is so unless a score is all but
    proportional to the cost in a space of 10^10 nets or more (the subset-sum problem). Then scores
    of blocks are rounded to multiples of `grain` of their steps, the least power of COARSER
    that makes the sets fit: an answer is below the optimum by at most `grain` steps for each active
    block. `grain` is 1 where all is exact; costs are never rounded.
    """

    def __init__(
        self, space: Space, cost: AdditiveCost, score: AdditiveCost, most: float | None = None
    ) -> None:
        self.space, self.cost, self.score = space, cost, score
        limit = cost.limit(dearest(space, cost))
        limit = limit if most is None else min(limit, cost.limit(most))
        self._limit = limit
        self.grain = 1
        while True:
            try:
                self._layers = {
                    size: _Layers(space, cost, score, size, limit, self.grain).layers
                    for size in space.listed
                }
                break
            except _Crowded:
                self.grain *= COARSER

    def front(self) -> list[tuple[float, float]]:
        """(cost, score) of every net that no other beats in both, cheapest first."""
        import numpy as np

        ends = [layers[-1] for layers in self._layers.values()]
        cost, score = undominated(
            np.concatenate([end.cost for end in ends]), np.concatenate([end.score for end in ends])
        )
        pairs = zip(cost.tolist(), score.tolist(), strict=True)
        return [(self.cost.value(c), self.score.value(s * self.grain)) for c, s in pairs]

    def best(self, budget: float) -> ScoredSubnet:
        """The best net of a budget; of equal scores the cheapest. Raises UsageError if none."""
        for net in self.ranked(budget):
            return net
        raise infeasible(self.space, self.cost, budget)

    def ranked(self, budget: float) -> Iterator[ScoredSubnet]:
        """All nets inside a budget by descending score, then ascending cost; equals in one order.

        Lazily: the first thousand of 10^19 take a second.
        """
        limit = min(self._limit, self.cost.limit(budget))
        heap: list[tuple[Any, ...]] = []
        for size, layers in sorted(self._layers.items()):
            end = layers[-1].best(limit)
            if end is not None:
                heap.append((-end[0], end[1], len(heap), size, len(layers) - 1, limit, 0, ()))
        heapq.heapify(heap)
        entered = len(heap)
        while heap:
            score, cost, _, size, index, left, behind, blocks = heapq.heappop(heap)
            layers = self._layers[size]
            if index == 0:
                subnet = self._composed(blocks, size)
                yield ScoredSubnet(
                    subnet, self.cost.value(cost), self.score.value(-score * self.grain)
                )
                continue
            for step in layers[index].steps:
                ahead = layers[step.source].best(left - step.cost)
                if ahead is None:
                    continue
                gained = behind + step.score
                total = ahead[1] + step.cost + limit - left
                entry = (-(ahead[0] + gained), total, entered, size, step.source)
                path = (step.block[0], blocks) if step.block else blocks
                heapq.heappush(heap, (*entry, left - step.cost, gained, path))
                entered += 1

    def _composed(self, path: Any, size: int) -> Subnet:
        chosen: dict[int, tuple[int, int]] = {}
        while path:
            (slot, kernel, expand), path = path
            chosen[slot] = (kernel, expand)
        stages = [[chosen[slot] for slot in slots if slot in chosen] for slots in self.space.blocks]
        return self.space.compose(stages, size)


def _least(option: Any, slots: Sequence[int], terms: dict[BlockChoice, int], sign: int = 1) -> int:
    """The least sum of a stage's terms; with `sign` -1 the negative of the largest."""
    sums = []
    for depth in option.depth:
        ratios = option.at(depth)
        choices = ([(slot, k, e) for k in option.kernel for e in ratios] for slot in slots[:depth])
        sums.append(sum(min(sign * terms[choice] for choice in block) for block in choices))
    return min(sums)


def _steps(cost: AdditiveCost, size: int) -> dict[BlockChoice, int]:
    return {key: cost.steps(value) for key, value in cost.blocks[size].items()}


def _nearest(steps: int, grain: int) -> int:
    return round(steps / grain) if grain > 1 else steps


def _extreme(space: Space, cost: AdditiveCost, sign: int) -> float:
    ends = []
    for size in space.listed:
        terms = _steps(cost, size)
        stages = zip(space.options, space.blocks, strict=True)
        ends.append(
            sign * cost.steps(cost.fixed[size])
            + sum(_least(option, slots, terms, sign) for option, slots in stages)
        )
    return cost.value(sign * min(ends))


def cheapest(space: Space, cost: AdditiveCost) -> float:
    """The least that a subnet of the space costs, at once."""
    return _extreme(space, cost, 1)


def dearest(space: Space, cost: AdditiveCost) -> float:
    """The most that a subnet of the space costs, at once."""
    return _extreme(space, cost, -1)


def infeasible(space: Space, cost: AdditiveCost, budget: float) -> UsageError:
    """What to say of a budget below the cheapest net."""
    return UsageError(
        f"no subnet of {space.name} costs at most {cost.text(budget)}",
        f"nearest attainable: {cost.text(cheapest(space, cost))}",
    )
