"""Cost histogram of one stage: every value it can add to the MACs, and how often."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate, product

from ofa_bench.space.costs import Tally
from ofa_bench.space.options import StageOptions

Blocks = tuple[tuple[int, int], ...]


class StageHistogram:
    """Exact counts of a stage's arrangements by depth and by the cost they add.

    Costs add up over blocks, so the counts of depth d are those of depth d-1 convolved with one
    more block; no arrangement is listed.
    """

    def __init__(self, option: StageOptions, slots: Sequence[int], tally: Tally) -> None:
        self._option, self._slots, self._tally = option, slots, tally
        self._counts: dict[tuple[int, ...], list[Counter[int]]] = {}
        for depth in option.depth:
            ratios = option.at(depth)
            if ratios not in self._counts:
                self._counts[ratios] = self._convolved(ratios)

    @property
    def rows(self) -> list[tuple[int, int, int]]:
        """(depth, value, number of arrangements), the values ascending at each depth."""
        return [
            (depth, value, count)
            for depth in self._option.depth
            for value, count in sorted(self._counts[self._option.at(depth)][depth].items())
        ]

    def probability(self, depth: int) -> float:
        """How likely one arrangement of this depth is, drawn dimension by dimension."""
        return 1 / (len(self._option.depth) * self._option.arrangements(depth))

    def draw(self, rng: random.Random, depth: int, value: int) -> Blocks:
        """An arrangement of this depth and value, each with the same probability."""
        ratios = self._option.at(depth)
        counts = self._counts[ratios]
        blocks: list[tuple[int, int]] = []
        for position in reversed(range(depth)):
            terms = self._block(position, ratios)
            weights = list(accumulate(counts[position][value - cost] for _, cost in terms))
            lot = rng.randrange(weights[-1])
            block, cost = next(
                term for term, weight in zip(terms, weights, strict=True) if lot < weight
            )
            blocks.append(block)
            value -= cost
        return tuple(reversed(blocks))

    def arrangements(self, depth: int, value: int) -> Iterator[Blocks]:
        """Every arrangement of this depth and value."""
        ratios = self._option.at(depth)
        return self._ending(ratios, depth, value)

    def _ending(self, ratios: tuple[int, ...], depth: int, value: int) -> Iterator[Blocks]:
        if not self._counts[ratios][depth][value]:
            return
        if depth == 0:
            yield ()
            return
        for block, cost in self._block(depth - 1, ratios):
            for before in self._ending(ratios, depth - 1, value - cost):
                yield (*before, block)

    def _convolved(self, ratios: tuple[int, ...]) -> list[Counter[int]]:
        counts = [Counter({0: 1})]
        for position in range(max(self._option.depth)):
            longer: Counter[int] = Counter()
            for _, cost in self._block(position, ratios):
                for value, count in counts[-1].items():
                    longer[value + cost] += count
            counts.append(longer)
        return counts

    def _block(self, position: int, ratios: tuple[int, ...]) -> list[tuple[tuple[int, int], int]]:
        slot = self._slots[position]
        return [
            ((kernel, ratio), self._tally.blocks[slot, kernel, ratio])
            for kernel, ratio in product(self._option.kernel, ratios)
        ]
