"""Critical values at 95 %, looked up: scipy's studentized range costs 72 ms a quantile."""

from __future__ import annotations

import json
from bisect import bisect_left
from functools import cache
from math import inf, sqrt
from pathlib import Path
from typing import NamedTuple

MOST_ROWS = 40


class QuantileTable(NamedTuple):
    """`q[i][j]` for `rows[i]` groups and `df[j]` degrees of freedom (the last infinite)."""

    rows: tuple[int, ...]
    df: tuple[float, ...]
    q: tuple[tuple[float, ...], ...]


@cache
def table() -> QuantileTable:
    """The committed values (scipy.stats.studentized_range.ppf)."""
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
