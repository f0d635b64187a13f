"""Pairwise comparison of rows at a family-wise error rate (docs/evaluation-protocol.md)."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import inf, sqrt
from pathlib import Path
from statistics import fmean, variance
from typing import Literal, NamedTuple

MOST_ROWS = 40
DELTA = 0.3  # points of accuracy that "no worse" may lose, unless a track sets another
FINEST = 0.1  # no board claims to see less than this, in points

Verdict = Literal["better", "no worse", "undecided"]


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and its 95 % t interval; no interval from one seed."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Family:
    """What all pairs of one board share: how many rows, the pooled variance and its degrees."""

    rows: int
    variance: float
    df: int


@dataclass(frozen=True)
class Pair:
    """One row against another: the difference's family-wise interval and what it allows to say."""

    difference: float
    low: float | None
    high: float | None
    verdict: Verdict
    paired: bool
    resolution: float
    detectable: float | None


class QuantileTable(NamedTuple):
    """`q[i][j]` for `rows[i]` groups and `df[j]` degrees of freedom (the last infinite)."""

    rows: tuple[int, ...]
    df: tuple[float, ...]
    q: tuple[tuple[float, ...], ...]


@cache
def table() -> QuantileTable:
    """The committed values of scipy.stats.studentized_range.ppf, which costs 72 ms a quantile."""
    values = json.loads(Path(__file__).with_name("quantiles.json").read_text())
    df = (*map(float, values["df"]), inf)
    return QuantileTable(tuple(values["rows"]), df, tuple(map(tuple, values["q"])))


def studentized_range(rows: int, df: float) -> float:
    """The upper 5 % point for the spread of `rows` equal means.

    Linear in 1/df between entries and the next larger entry in rows: both err on the safe side,
    since the quantile is convex in 1/df and grows with rows. Raises ValueError outside the table.
    """
    known = table()
    if not 2 <= rows <= known.rows[-1] or df < known.df[0]:
        raise ValueError(f"no critical value for {rows} rows and {df} degrees of freedom")
    line = known.q[bisect_left(known.rows, rows)]
    right = bisect_left(known.df, df)
    if known.df[right] == df:
        return line[right]
    near, far = 1 / known.df[right - 1], 1 / known.df[right]
    part = (1 / df - far) / (near - far)
    return line[right] + part * (line[right - 1] - line[right])


def student_t(df: float) -> float:
    """The two-sided 95 % point of Student's t: the studentized range of two, over root two."""
    return studentized_range(2, df) / sqrt(2)


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and t interval of one row's seeds."""
    mean = fmean(values)
    if len(values) < 2:
        return Estimate(mean, None, None)
    half = student_t(len(values) - 1) * sqrt(variance(values) / len(values))
    return Estimate(mean, mean - half, mean + half)


def family(groups: Sequence[Sequence[float]]) -> Family | None:
    """The family of a board's rows; None while fewer than two rows have two seeds.

    Also None beyond the tabulated rows: then no pair is decided.
    """
    able = [group for group in groups if len(group) > 1]
    if not 2 <= len(able) <= MOST_ROWS:
        return None
    df = sum(len(group) - 1 for group in able)
    pooled = sum((len(group) - 1) * variance(group) for group in able) / df
    return Family(len(able), pooled, df)


def half_width(a: Sequence[float], b: Sequence[float], board: Family) -> float:
    """Half the family-wise interval of mean(a) - mean(b): the wider of the two procedures.

    Tukey-Kramer alone gives too many false winners where variances differ, Games-Howell alone
    slightly too many everywhere; both must exclude zero.
    """
    kramer = sqrt(board.variance * (1 / len(a) + 1 / len(b)))
    tukey = studentized_range(board.rows, board.df) * kramer
    parts = [variance(a) / len(a), variance(b) / len(b)]
    howell = studentized_range(board.rows, _welch(parts, a, b)) * sqrt(sum(parts))
    return max(tukey, howell) / sqrt(2)


def _welch(parts: Sequence[float], a: Sequence[float], b: Sequence[float]) -> float:
    below = parts[0] ** 2 / (len(a) - 1) + parts[1] ** 2 / (len(b) - 1)
    return max(sum(parts) ** 2 / below, 1.0) if below else inf


def paired_half_width(differences: Sequence[float], board: Family) -> float:
    """Half the family-wise interval of a mean of seed-by-seed differences."""
    spread = sqrt(variance(differences) / len(differences))
    return studentized_range(board.rows, len(differences) - 1) * spread / sqrt(2)


def compare(
    a: Sequence[float],
    b: Sequence[float],
    board: Family | None,
    *,
    paired: bool = False,
    resolution: float = FINEST,
    delta: float = DELTA,
    able: bool = True,
) -> Pair:
    """What may be said of row `a` against row `b`.

    Better: the whole interval lies above the resolution. No worse: the upper bound of the loss is
    under `delta`. `able=False` (failed seeds) says neither. `paired` is decided before looking, by
    a rule (branches of one prefix), never by the measured correlation.
    """
    difference = fmean(a) - fmean(b)
    if board is None or min(len(a), len(b)) < 2:
        return Pair(difference, None, None, "undecided", paired, resolution, None)
    if paired:
        half = paired_half_width([x - y for x, y in zip(a, b, strict=True)], board)
    else:
        half = half_width(a, b, board)
    low, high = difference - half, difference + half
    verdict: Verdict = "undecided"
    if able and low > resolution:
        verdict = "better"
    elif able and low > -delta:
        verdict = "no worse"
    return Pair(difference, low, high, verdict, paired, resolution, half + resolution)
