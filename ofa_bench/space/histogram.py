"""Histogram of a space's MACs at one resolution: the stages' costs, convolved in narrow bins."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import prod
from typing import TYPE_CHECKING

from ofa_bench.space.costs import Tally
from ofa_bench.space.options import StageOptions
from ofa_bench.space.stage_histogram import StageHistogram

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

BINS = 400_000  # about 1,100 MACs each in the largest space shipped; exact bins in small ones
TILE = 16_384  # bins convolved at a time, so that they stay in the processor's cache

Leaf = list[tuple[int, int]]  # each stage's depth and the cost it adds


@dataclass(frozen=True)
class _Rows:
    """A stage's (depth, value) pairs: values over the stage's least, their bins and weights."""

    depth: Ints
    value: Ints
    bin: Ints
    weight: Floats


@dataclass(frozen=True)
class Window:
    """Bins `first` to `last` hold every net of a range, and maybe some just outside it."""

    first: int
    last: int
    low: int
    high: int


class Histogram:
    """Weights of all nets by MACs, without the network's constant part.

    `measure` "archs" counts nets; "dims" holds the probabilities of drawing dimension by dimension.
    A net's bin is the sum of its stages' bins, so its MACs exceed its bin's lower edge by less than
    one bin's width per stage.
    """

    def __init__(
        self,
        options: Sequence[StageOptions],
        blocks: Sequence[Sequence[int]],
        tally: Tally,
        measure: str,
    ) -> None:
        import numpy as np

        self.stages = [
            StageHistogram(option, slots, tally)
            for option, slots in zip(options, blocks, strict=True)
        ]
        spans = [[value for _, value, _ in stage.rows] for stage in self.stages]
        self._least = [min(values) for values in spans]
        self.base = sum(self._least)
        self.span = sum(map(max, spans)) - self.base
        self.width = max(1, self.span // BINS)
        self._rows = [
            self._table(stage, least, measure)
            for stage, least in zip(self.stages, self._least, strict=True)
        ]
        self._upto: list[Floats] = [np.ones(1)]
        for rows in self._rows:
            self._upto.append(_convolved(self._upto[-1], rows))
        self._reach = [np.concatenate(([0], np.cumsum(upto > 0))) for upto in self._upto]
        self._measure = measure

    def _table(self, stage: StageHistogram, least: int, measure: str) -> _Rows:
        import numpy as np

        depth, value, count = (np.array(column) for column in zip(*stage.rows, strict=True))
        weight = count.astype(np.float64)
        if measure == "dims":
            weight *= np.array([stage.probability(int(d)) for d in depth])
        return _Rows(depth, value - least, (value - least) // self.width, weight)

    def weight(self, leaf: Leaf) -> float:
        """The weight of each single net of a leaf."""
        if self._measure == "archs":
            return 1.0
        return prod(
            stage.probability(depth) for stage, (depth, _) in zip(self.stages, leaf, strict=True)
        )

    @property
    def heaviest(self) -> float:
        """The largest weight of a single net: total / heaviest is a lower bound on the count."""
        if self._measure == "archs":
            return 1.0
        return prod(
            max(stage.probability(depth) for depth, _, _ in stage.rows) for stage in self.stages
        )

    def window(self, low: int, high: int) -> Window:
        """The bins that may hold nets costing `low` to `high` MACs above the constant part."""
        low, high = low - self.base, high - self.base
        slack = len(self.stages) * (self.width - 1)
        first = max(0, -((slack - low) // self.width))
        return Window(first, min(len(self._upto[-1]) - 1, high // self.width), low, high)

    def weights(self, window: Window) -> Floats:
        """The weight in each bin of the window."""
        return self._upto[-1][window.first : max(window.first, window.last + 1)]

    def surely(self, window: Window) -> float:
        """The weight of the bins that lie entirely in the range: a lower bound."""
        first = max(0, -(-window.low // self.width))
        last = (window.high - len(self.stages) * (self.width - 1)) // self.width
        return float(self._upto[-1][first : max(first, last + 1)].sum())

    def about(self, window: Window) -> float:
        """An estimate of the range's weight: exact for bins of one MAC.

        A bin's nets count as spread evenly, one bin wide, round the middle of where they may lie.
        """
        import numpy as np

        heaps = np.concatenate(([0.0], self.weights(window).cumsum()))
        ends = np.array([window.low - 0.5, window.high + 0.5])
        middle = len(self.stages) * (self.width - 1) / 2
        places = (ends - middle) / self.width + 0.5 - window.first
        low, high = np.interp(places, np.arange(len(heaps)), heaps)
        return float(high - low)

    def climb(self, rng: random.Random, window: Window, index: int) -> Leaf | None:
        """A random leaf of the bin at `index`, by weight; None if the range itself is missed."""
        import numpy as np

        leaf: Leaf = []
        total = 0
        for stage in reversed(range(len(self.stages))):
            rows, upto = self._rows[stage], self._upto[stage]
            rest = index - rows.bin
            fits = (rest >= 0) & (rest < len(upto))
            weight = np.where(fits, rows.weight * upto[np.where(fits, rest, 0)], 0.0).cumsum()
            row = int(np.searchsorted(weight, rng.random() * weight[-1], side="right"))
            leaf.append((int(rows.depth[row]), int(rows.value[row]) + self._least[stage]))
            total += int(rows.value[row])
            index -= int(rows.bin[row])
        return leaf[::-1] if window.low <= total <= window.high else None

    def leaves(self, low: int, high: int) -> Iterator[Leaf | None]:
        """Every leaf that costs `low` to `high` above the constant part; None for each dead end.

        Branches are entered only where the remaining stages can reach the range to within their
        bins, so dead ends are few unless the range is narrow and its surroundings are crowded.
        """
        return self._leaves(len(self.stages), low - self.base, high - self.base, [])

    def _leaves(self, left: int, low: int, high: int, above: Leaf) -> Iterator[Leaf | None]:
        if left == 0:
            yield above
            return
        rows, reach = self._rows[left - 1], self._reach[left - 1]
        slack = (left - 1) * (self.width - 1)
        first = (-((slack - low + rows.value) // self.width)).clip(0, len(reach) - 1)
        last = ((high - rows.value) // self.width).clip(-1, len(reach) - 2)
        entered = (reach[last + 1] > reach[first]).nonzero()[0]
        if not len(entered):
            yield None
        for row in entered:
            value = int(rows.value[row])
            here = (int(rows.depth[row]), value + self._least[left - 1])
            yield from self._leaves(left - 1, low - value, high - value, [here, *above])

    def closest(self, edge: int, *, below: bool, leads: int) -> int | None:
        """The nearest cost at or below (or above) an edge, searching at most `leads` leaves."""
        least, most = self.base, self.base + self.span
        edge = min(edge, most) if below else max(edge, least)
        step = self.width
        while least <= edge <= most:
            ends = (edge - step, edge) if below else (edge, edge + step)
            leaves = [leaf for leaf in islice(self.leaves(*ends), leads) if leaf is not None]
            if leaves:
                costs = (sum(value for _, value in leaf) for leaf in leaves)
                return max(costs) if below else min(costs)
            step *= 2
        return None


def _convolved(upto: Floats, rows: _Rows) -> Floats:
    """Convolve by shift and add: an FFT's rounding errors exceed the counts at the ends, which hold
    one net each."""
    import numpy as np

    convolved = np.zeros(len(upto) + int(rows.bin.max()))
    bins, where = np.unique(rows.bin, return_inverse=True)
    weights = np.bincount(where, rows.weight)
    spare = np.empty(TILE)
    terms = list(zip(bins.tolist(), weights.tolist(), strict=True))
    for start in range(0, len(upto), TILE):
        tile = upto[start : start + TILE]
        scaled = spare[: len(tile)]
        for shift, weight in terms:
            np.multiply(tile, weight, out=scaled)
            convolved[start + shift : start + shift + len(tile)] += scaled
    return convolved
