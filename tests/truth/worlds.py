"""Simulated worlds: nets whose expected accuracy alone is known, a supernet that ranks them, seeds
that add noise, and the tau that infinitely many such nets without noise would have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ofa_bench.leaderboard.truth.agreement import ranges

PAIRS = 20_000  # of each world, from which its true tau is taken: it is off by 0.007
BATCH = 1_000


@dataclass(frozen=True)
class Worlds:
    """`scores` [worlds, nets], `alone` [worlds, nets, seeds], `macs` [worlds, nets]; `overall` and
    `within` are each world's true tau, `gap` its mean of score less expected accuracy."""

    groups: Any
    scores: Any
    alone: Any
    expected: Any
    macs: Any
    overall: Any
    within: Any
    gap: Any
    law: Law

    def losses(self, count: int) -> Any:
        """The expected accuracy that is lost by the first `count` nets of each world's ranking."""
        return lost(self.expected, self.scores, count)

    def losses_within(self) -> Any:
        """The same by the first net of each range, the mean over ranges."""
        return lost_within(self.expected, self.scores, self.groups)

    def mean_losses(self, count: int | None, draws: int, rng: np.random.Generator) -> Any:
        """The same by other nets, drawn as these were: the mean; within ranges with None."""
        total = np.zeros(len(self.scores))
        for _ in range(draws):
            _, expected, scores = self.law.nets(rng, self.groups)
            part = (expected, scores)
            total += lost(*part, count) if count else lost_within(*part, self.groups)
        return total / draws


def lost(expected: Any, scores: Any, count: int) -> Any:
    """The best of `expected` [worlds, nets] less the best of the `count` nets of highest score."""
    first = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    return expected.max(1) - np.take_along_axis(expected, first, 1).max(1)


def lost_within(expected: Any, scores: Any, groups: Any) -> Any:
    """Its mean over ranges, of each range's first net."""
    members = [groups == group for group in np.unique(groups)]
    return np.mean([lost(expected[:, one], scores[:, one], 1) for one in members], axis=0)


@dataclass(frozen=True)
class Law:
    """What rules a world: how much size matters to truth and to the supernet, in units of the
    spread that nets of one size have; how far the supernet sees that spread; a seed's noise."""

    size: Any
    seen_size: Any
    insight: Any
    noise: Any
    ranges: int

    def nets(self, rng: np.random.Generator, groups: Any) -> tuple[Any, Any, Any]:
        """MACs (0 to 1), expected accuracy and the supernet's score of nets of these ranges."""
        shape = (len(self.size), len(groups))
        macs = (groups + rng.random(shape)) / self.ranges
        quality, other = rng.standard_normal(shape), rng.standard_normal(shape)
        insight = self.insight[:, None]
        seen = insight * quality + np.sqrt(1 - insight**2) * other
        return macs, self.size[:, None] * macs + quality, self.seen_size[:, None] * macs + seen


def worlds(count: int, nets: int, seeds: int = 2, seed: int = 0, pairs: int = PAIRS) -> Worlds:
    """A sixth of the worlds each: size means nothing, something, much; seeds are nearly exact, or
    so noisy that they say less than the nets do; and a supernet that is nearly right."""
    rng = np.random.default_rng(seed)
    kind = np.arange(count) % 6

    def uniform(*limits: tuple[float, float]) -> Any:
        low, high = np.array(limits).T
        return rng.uniform(low[kind], high[kind])

    size = uniform((0, 0), (0, 4), (4, 4), (0, 4), (0, 2), (2, 2))
    law = Law(
        size,
        size * rng.uniform(0.5, 1.5, count),
        uniform((-0.5, 0.95), (-0.3, 0.95), (0, 0.8), (-0.3, 0.98), (0, 0.9), (0.85, 0.99)),
        uniform((0.05, 0.5), (0.05, 0.8), (0.3, 0.3), (0.02, 0.02), (0.8, 1.5), (0.05, 0.3)),
        int(ranges(nets).max()) + 1,
    )
    groups = ranges(nets)
    macs, expected, scores = law.nets(rng, groups)
    noise = law.noise[:, None, None] * rng.standard_normal((count, nets, seeds))
    true = [_true_tau(law, groups, rng, pairs, within) for within in (False, True)]
    gap = (law.seen_size - law.size) * np.mean((groups + 0.5) / law.ranges)
    return Worlds(groups, scores, expected[..., None] + noise, expected, macs, *true, gap, law)


def _true_tau(law: Law, groups: Any, rng: np.random.Generator, pairs: int, within: bool) -> Any:
    """Tau of expected accuracy and score over pairs of nets as a sample has them."""
    first, second = np.nonzero(~np.eye(len(groups), dtype=bool))
    if within:
        same = groups[first] == groups[second]
        first, second = first[same], second[same]
    total = np.zeros(len(law.size))
    for _ in range(max(1, pairs // BATCH)):
        drawn = rng.integers(0, len(first), BATCH)
        one, other = (law.nets(rng, groups[part[drawn]]) for part in (first, second))
        total += (np.sign(one[1] - other[1]) * np.sign(one[2] - other[2])).mean(1)
    return total / max(1, pairs // BATCH)
