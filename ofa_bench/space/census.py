"""Counting subnets by MACs, and exact sampling within a MACs range."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, product
from math import ceil, floor
from typing import TYPE_CHECKING

from ofa_bench.errors import UsageError
from ofa_bench.space.histogram import Histogram, Leaf, Window
from ofa_bench.space.subnet import Subnet

if TYPE_CHECKING:
    from ofa_bench.space.histogram import Floats
    from ofa_bench.space.space import Space

FEW = 4096  # up to so many nets in a range, they are listed one by one
LEADS = 20_000  # leaves looked at before a listing is given up
TRIES = 20_000  # nets drawn from a widened range before the range itself counts as empty
REMEMBERED = 64  # ranges whose preparation is kept


@dataclass(frozen=True)
class _Part:
    """A range at one resolution; `heaps` are its bins' weights added up from the left."""

    resolution: int
    fixed: int
    histogram: Histogram
    window: Window
    heaps: Floats

    @property
    def weight(self) -> float:
        return float(self.heaps[-1]) if len(self.heaps) else 0.0

    @property
    def ends(self) -> tuple[int, int]:
        """The range, less the constant part."""
        base = self.histogram.base
        return self.window.low + base, self.window.high + base

    def climb(self, rng: random.Random) -> Leaf | None:
        lot = rng.random() * self.weight
        index = self.window.first + int(self.heaps.searchsorted(lot, side="right"))
        return self.histogram.climb(rng, self.window, index)


@dataclass(frozen=True)
class _Range:
    """A prepared range; `few`: its nets with cumulative weights, if at most FEW."""

    parts: list[_Part]
    few: tuple[list[Subnet], list[float]] | None


class Census:
    """The histograms of one space, by resolution and measure, computed on first use."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._histograms: dict[tuple[int, str], Histogram] = {}
        self._ranges: dict[tuple[object, ...], _Range] = {}

    def sample(
        self,
        rng: random.Random,
        measure: str,
        macs: tuple[int, int],
        classes: int,
        resolutions: tuple[int, ...],
    ) -> Subnet:
        """Sample a net by `measure`, conditioned on its MACs; see `Space.sample`."""
        prepared = self._range(measure, macs, classes, resolutions)
        if prepared.few is not None:
            nets, heaps = prepared.few
            if not nets:
                raise self._nothing(prepared.parts, macs)
            return rng.choices(nets, cum_weights=heaps)[0]
        weights = list(accumulate(part.weight for part in prepared.parts))
        for _ in range(TRIES):
            part = rng.choices(prepared.parts, cum_weights=weights)[0]
            leaf = part.climb(rng)
            if leaf is not None:
                terms = zip(part.histogram.stages, leaf, strict=True)
                return self._space.compose(
                    [stage.draw(rng, *term) for stage, term in terms], part.resolution
                )
        raise self._nothing(prepared.parts, macs)

    def count_in(self, low: int, high: int, classes: int, resolutions: tuple[int, ...]) -> float:
        """How many nets the range holds; see `Space.count_in`."""
        parts = self._parts("archs", (low, high), classes, resolutions)
        if sum(part.weight for part in parts) <= FEW:
            return len(self._listed(parts, FEW) or ())
        estimate = sum(part.histogram.about(part.window) for part in parts)
        exact = all(part.histogram.width == 1 for part in parts)
        return round(estimate) if exact else estimate

    def nets_in(
        self, low: int, high: int, classes: int, limit: int, resolutions: tuple[int, ...]
    ) -> list[Subnet] | None:
        """Every net of the range, or None; see `Space.nets_in`."""
        parts = self._parts("archs", (low, high), classes, resolutions)
        if sum(part.histogram.surely(part.window) for part in parts) > limit:
            return None
        listed = self._listed(parts, limit)
        if listed is None:
            return None
        return sorted((net for net, _ in listed), key=lambda net: self._space.macs(net, classes))

    def _range(
        self, measure: str, macs: tuple[int, int], classes: int, resolutions: tuple[int, ...]
    ) -> _Range:
        key = (measure, macs, classes, resolutions)
        if key not in self._ranges:
            if len(self._ranges) >= REMEMBERED:
                self._ranges.clear()
            parts = self._parts(measure, macs, classes, resolutions)
            self._ranges[key] = _Range(parts, self._few(parts))
        return self._ranges[key]

    def _parts(
        self, measure: str, macs: tuple[int, int], classes: int, resolutions: tuple[int, ...]
    ) -> list[_Part]:
        low, high = ceil(macs[0]), floor(macs[1])
        if low > high:
            raise UsageError(
                f"no subnet costs {macs[0]:,.0f} to {macs[1]:,.0f} MACs: the range is empty",
                "give the smaller bound first",
            )
        parts = []
        for resolution in resolutions:
            fixed = self._space.costs.macs(resolution).fixed(classes)
            histogram = self._histogram(resolution, measure)
            window = histogram.window(low - fixed, high - fixed)
            heaps = histogram.weights(window).cumsum()
            parts.append(_Part(resolution, fixed, histogram, window, heaps))
        return parts

    def _few(self, parts: list[_Part]) -> tuple[list[Subnet], list[float]] | None:
        if sum(part.weight / part.histogram.heaviest for part in parts) > FEW:
            return None
        listed = self._listed(parts, FEW)
        if listed is None:
            return None
        return [net for net, _ in listed], list(accumulate(weight for _, weight in listed))

    def _listed(self, parts: list[_Part], limit: int) -> list[tuple[Subnet, float]] | None:
        """The nets of a range with their weights; None over the limit or when leads run long."""
        nets: list[tuple[Subnet, float]] = []
        for part in parts:
            for leads, leaf in enumerate(part.histogram.leaves(*part.ends)):
                for net in self._nets(part, leaf) if leaf else ():
                    if len(nets) >= limit:
                        return None
                    nets.append(net)
                if leads >= LEADS:
                    return None
        return nets

    def _nets(self, part: _Part, leaf: Leaf) -> Iterator[tuple[Subnet, float]]:
        terms = zip(part.histogram.stages, leaf, strict=True)
        weight = part.histogram.weight(leaf)
        for stages in product(*(stage.arrangements(*term) for stage, term in terms)):
            yield self._space.compose(stages, part.resolution), weight

    def _nothing(self, parts: list[_Part], macs: tuple[int, int]) -> UsageError:
        near: dict[bool, list[int]] = {True: [], False: []}
        for part in parts:
            for below, edge in ((True, macs[0]), (False, macs[1])):
                cost = part.histogram.closest(floor(edge) - part.fixed, below=below, leads=FEW)
                if cost is not None:
                    near[below].append(cost + part.fixed)
        ends = [f"{max(near[True]):,}"] if near[True] else []
        ends += [f"{min(near[False]):,}"] if near[False] else []
        return UsageError(
            f"no subnet of {self._space.name} costs {macs[0]:,.0f} to {macs[1]:,.0f} MACs",
            f"nearest attainable: {' and '.join(ends)}",
        )

    def _histogram(self, resolution: int, measure: str) -> Histogram:
        key = (resolution, measure)
        if key not in self._histograms:
            space = self._space
            tally = space.costs.macs(resolution)
            self._histograms[key] = Histogram(space.options, space.blocks, tally, measure)
        return self._histograms[key]
