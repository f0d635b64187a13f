"""Kendall's tau of a ranking with the accuracy of nets trained alone, and its 95 % interval.

What is estimated: the tau between a ranking's score and a net's *expected* accuracy alone, over
nets drawn as these were. Seeds add noise to each measured accuracy, which draws the measured tau to
zero; Greiner's relation tau = 2/pi arcsin(rho) and the reliability of the seed means take that
away. The interval covers which nets were drawn and which seeds trained them; not another supernet,
not other test images. All functions take leading axes: a thousand simulated worlds are one call.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]

LEVEL = 0.975
COUNTED_TWICE = 0.3  # of the degenerate part, which the jackknife counts twice, is taken off again
LEAST_SPREAD = 0.5  # of the spread that tau has where nothing agrees: no interval is narrower
WEAKEST = 0.05  # reliability below which noise is not corrected further
RANGE = 5  # nets of a range, at least
MOST_RANGES = 6


@dataclass(frozen=True)
class TauArrays:
    """`measured`: tau-b with the seeds' means; `value`: without the seeds' noise, `low` to `high`
    its 95 % interval. Arrays of the worlds' shape."""

    measured: Values
    value: Values
    low: Values
    high: Values


def ranges(nets: int) -> NDArray[np.intp]:
    """The range of each of `nets` nets in ascending MACs: up to six of nearly equal numbers."""
    count = max(1, min(MOST_RANGES, nets // RANGE))
    return np.arange(nets) * count // max(nets, 1)


def agreement(scores: ArrayLike, alone: ArrayLike, groups: ArrayLike, within: bool) -> TauArrays:
    """Tau of `scores` [..., nets] with `alone` [..., nets, seeds], with its interval.

    `groups` [nets] is each net's range of MACs; `within`: over pairs of one range only. With one
    seed its noise is unknown, so nothing is corrected and the interval does not cover it.
    """
    first, seeds = np.asarray(scores, float), np.asarray(alone, float)
    shape = np.broadcast_shapes(first.shape, seeds.shape[:-1])
    group = np.asarray(groups)
    pairs = Pairs(group, within)
    signs = [_signs(np.broadcast_to(values, shape)) for values in (first, seeds.mean(-1))]
    measured, low, high = pairs.interval([(signs[0], signs[1])])
    if seeds.shape[-1] < 2:
        return TauArrays(measured, measured, low, high)
    reliability = _reliability(seeds, group, within)
    return TauArrays(measured, *_without_noise(measured, low, high, *reliability))


def ceiling(alone: ArrayLike, groups: ArrayLike, within: bool) -> TauArrays:
    """Tau between two seeds of `alone` [..., nets, seeds], the mean over pairs of seeds."""
    seeds = np.asarray(alone, float)
    signs = [_signs(seeds[..., number]) for number in range(seeds.shape[-1])]
    tau, low, high = Pairs(np.asarray(groups), within).interval(list(combinations(signs, 2)))
    return TauArrays(tau, tau, low, high)


def _signs(values: Values) -> Values:
    """Which of two nets has more: 1, -1, or 0 where they are equal; [..., nets, nets]."""
    return np.sign(values[..., :, None] - values[..., None, :])


class Pairs:
    """The pairs of nets that a tau counts, and tau's sampling variance over such nets."""

    def __init__(self, groups: NDArray[Any], within: bool) -> None:
        self.groups = groups
        same = groups[:, None] == groups[None, :]
        off = ~np.eye(len(groups), dtype=bool)
        self.counted: Mask = off & same if within else off
        self.number = int(self.counted.sum()) // 2
        sizes = np.bincount(groups)
        self.degrees = max(1, len(groups) - int((sizes > 0).sum()))
        self.null = self._null(sizes if within else np.array([len(groups)]))

    def _null(self, sizes: NDArray[Any]) -> float:
        """Tau's variance where nothing agrees: 2 (2n + 5) / 9n (n - 1), pooled over ranges
        (Kendall 1938)."""
        sizes = sizes[sizes > 1].astype(float)
        weights = sizes * (sizes - 1) / 2 / max(self.number, 1)
        return float((weights**2 * 2 * (2 * sizes + 5) / (9 * sizes * (sizes - 1))).sum())

    def interval(self, signs: list[tuple[Values, Values]]) -> tuple[Values, Values, Values]:
        """The mean tau of pairs of rankings, given as signs, and its 95 % interval.

        Fisher's transform, with the variance of the infinitesimal jackknife within ranges and
        Student's t. A tau at the edge has no spread of its own, so a least one is set.
        """
        from scipy.stats import t as t_distribution  # half of what every command would import

        parts = [self._tau(first, second) for first, second in signs]
        tau = np.mean([part[0] for part in parts], axis=0)
        influence = np.mean([part[1] for part in parts], axis=0)
        twice = np.mean([part[2] for part in parts], axis=0)
        spread = np.sqrt(np.maximum(self._variance(influence) - COUNTED_TWICE * twice, 0.0))
        edge = 1 - 1 / max(self.degrees, 2)
        inside = np.clip(tau, -edge, edge)
        least = LEAST_SPREAD * np.sqrt(self.null)
        half = t_distribution.ppf(LEVEL, self.degrees) * np.maximum(spread / (1 - inside**2), least)
        low, high = np.tanh(np.arctanh(inside) - half), np.tanh(np.arctanh(inside) + half)
        return tau, np.where(tau <= -edge, -1.0, low), np.where(tau >= edge, 1.0, high)

    def _tau(self, first: Values, second: Values) -> tuple[Values, Values, Values]:
        """Tau-b, each net's influence on it, and the variance of its degenerate part."""
        one, other = first * self.counted, second * self.counted
        both = one * other
        rows = [part.sum(-1) for part in (both, np.abs(one), np.abs(other))]
        agreed, untied, untied_too = (row.sum(-1) / 2 for row in rows)
        norm = np.sqrt(untied * untied_too)
        known = norm > 0
        norm = np.where(known, norm, 1.0)
        tau = np.where(known, agreed / norm, 0.0)
        weights = rows[1] / np.maximum(untied, 1)[..., None]
        weights = weights + rows[2] / np.maximum(untied_too, 1)[..., None]
        influence = rows[0] / norm[..., None] - tau[..., None] / 2 * weights
        return tau, influence, self._degenerate(both) / norm**2

    def _variance(self, influence: Values) -> Values:
        total = np.zeros(influence.shape[:-1])
        for members in self._members():
            part = influence[..., members]
            size = part.shape[-1]
            mean = part.mean(-1, keepdims=True) if size > 1 else 0.0
            total += ((part - mean) ** 2).sum(-1) * (size / max(size - 1, 1))
        return total

    def _degenerate(self, both: Values) -> Values:
        """The variance of the agreed pairs that no net's own influence explains."""
        total = np.zeros(both.shape[:-2])
        members = list(self._members())
        for number, rows in enumerate(members):
            for columns in members[number:]:
                pairs = self.counted[rows[:, None], columns].sum()
                if pairs:
                    mean = both[..., rows[:, None], columns].sum((-1, -2)) / pairs
                    total += pairs / (2 if columns is rows else 1) * (1 - mean**2)
        return total

    def _members(self) -> Iterator[NDArray[Any]]:
        for group in np.unique(self.groups):
            yield np.flatnonzero(self.groups == group)


def _reliability(
    seeds: Values, groups: NDArray[Any], within: bool
) -> tuple[Values, Values, Values]:
    """The share of the seed means' variance that is the nets' own, with its 95 % interval (Shrout
    and Fleiss 1979, ICC(1,k), from the F of a one-way analysis of variance)."""
    from scipy.stats import f as f_distribution

    nets, number = seeds.shape[-2:]
    means = seeds.mean(-1)
    noise = ((seeds - means[..., None]) ** 2).sum((-1, -2)) / (nets * (number - 1))
    parts = np.unique(groups) if within else [None]
    members = [slice(None) if part is None else groups == part for part in parts]
    between = np.zeros(noise.shape)
    for rows in members:
        part = means[..., rows]
        between += ((part - part.mean(-1, keepdims=True)) ** 2).sum(-1)
    degrees, below = max(1, nets - len(members)), nets * (number - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.nan_to_num(number * between / degrees / noise, nan=0.0, posinf=np.inf)
        quantiles = [f_distribution.ppf(level, degrees, below) for level in (LEVEL, 1 - LEVEL)]
        shares = [1 - quantile / ratio for quantile in (1.0, *quantiles)]
    value, low, high = (np.clip(share, 0.0, 1.0) for share in shares)
    return value, low, high


def _without_noise(
    tau: Values, low: Values, high: Values, share: Values, least: Values, most: Values
) -> tuple[Values, Values, Values]:
    """Tau and its interval divided, as correlations, by the root of the reliability.

    The interval of the quotient follows from those of both (MOVER-R: Donner and Zou 2012). Where
    the nets may differ by noise alone, the value stays as measured and the interval opens.
    """
    tau, low, high = (np.sin(np.pi * part / 2) for part in (tau, low, high))
    below, middle, above = (np.sqrt(np.maximum(part, WEAKEST)) for part in (least, share, most))
    below = np.where(least <= 0, 0.0, below)
    upper = _quotient(tau, high, middle, below, above)
    lower = -_quotient(-tau, -low, middle, below, above)
    value = np.where(least <= 0, tau, tau / middle)
    values = [_tau_of(part) for part in (value, lower, upper)]
    return values[0], np.minimum(values[1], values[0]), np.maximum(values[2], values[0])


def _quotient(top: Values, limit: Values, middle: Values, below: Values, above: Values) -> Values:
    """The upper limit of `top` / `middle`, from the upper limit of one and those of the other."""
    end = np.where(limit >= 0, below, above)
    product = top * middle
    under = limit * end * (2 * top - limit) * (2 * middle - end)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = (product + np.sqrt(np.maximum(product**2 - under, 0.0))) / (
            end * (2 * middle - end)
        )
    return np.where(np.isnan(value), 1.0, value)


def _tau_of(correlation: Values) -> Values:
    return 2 / np.pi * np.arcsin(np.clip(correlation, -1.0, 1.0))
