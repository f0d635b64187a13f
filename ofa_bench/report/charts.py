"""Parts that all charts share. `templates/charts.js` draws them.

Colours are CSS variables, so that a chart follows the page from light to dark.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ofa_bench.report.tables import HtmlTable, label

HUES = 8
LINE_WIDTH = 0.003  # of a line's height
SYMBOLS = (  # SVG paths around 0, 0
    "M-6 0A6 6 0 1 0 6 0A6 6 0 1 0-6 0Z",
    "M-5-5H5V5H-5Z",
    "M0-7L7 0 0 7-7 0Z",
    "M0-6L6 5H-6Z",
    "M0 6L6-5H-6Z",
    "M-2-6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z",
    "M-6-3L-3-6 0-3 3-6 6-3 3 0 6 3 3 6 0 3-3 6-6 3-3 0Z",
    "M0-7L2-2 7-2 3 1.5 4.5 7 0 3.5-4.5 7-3 1.5-7-2-2-2Z",
)
DASHES = ("", "9 5", "2 4", "9 4 2 4")


@dataclass(frozen=True)
class Chart:
    """A figure and its words: `alt` for those who do not see it, `table` its numbers."""

    id: str
    title: str
    about: str
    alt: str
    figure: Mapping[str, Any]
    table: HtmlTable


class Palette:
    """One colour for a row's label all over the page; past the eighth, another dash."""

    def __init__(self, labels: Iterable[str]) -> None:
        self._index = {name: index for index, name in enumerate(sorted(set(labels)))}

    def hue(self, name: str) -> str:
        return f"var(--c{self._index[name] % HUES})"

    def symbol(self, name: str) -> str:
        """The shape of a marker, an SVG path."""
        return SYMBOLS[self._index[name] % len(SYMBOLS)]

    def line(self, name: str) -> dict[str, Any]:
        return {"color": self.hue(name), "dash": DASHES[self._index[name] // HUES % len(DASHES)]}


def axis(title: str, *, si: bool = False, zero: bool = False, log: bool = False) -> dict[str, Any]:
    """An axis with its title: with unit prefixes (`si`), from 0 (`zero`), logarithmic (`log`)."""
    return {"title": title, "si": si, "zero": zero, "log": log}


def trace(kind: str, name: object, x: list[Any], y: list[Any], **more: Any) -> dict[str, Any]:
    """A trace as `figure` draws it; its name is folded for the legend."""
    return {"kind": kind, "name": label(name), "x": x, "y": y, **more}


def figure(
    data: list[dict[str, Any]],
    x: Mapping[str, Any],
    *panels: Mapping[str, Any],
    height: int = 420,
    names: list[str] | None = None,
) -> dict[str, Any]:
    """Traces over one x axis, in one panel a y axis from top to bottom.

    A trace has a `kind` ("line", "points" or "bars"), a `name` (the legend hides all of a name),
    `x`, `y` and a `color`. Optional: `panel` (0), `legend` (False: no entry), `notes` (a text for
    each point, or one for all), `low` and `high` (a band or whiskers), and what the kind draws
    with. Bars lie on the rows `names`, from `base` on.
    """
    return {"data": data, "x": x, "panels": panels, "height": height, "names": names}


def thinned(count: int, most: int) -> list[int]:
    """At most so many indices of 0..count-1, evenly, with both ends."""
    if count <= most:
        return list(range(count))
    return sorted({round(index * (count - 1) / (most - 1)) for index in range(most)})


def corners(x: Sequence[float], y: Sequence[float | None]) -> list[int]:
    """The indices of a line's points that draw it to within LINE_WIDTH of its height
    (Ramer 1972, Douglas and Peucker 1973); all where a value is missing."""
    heights = np.array([np.nan if value is None else value for value in y], dtype=np.float64)
    if len(heights) < 3 or not np.isfinite(heights).all():
        return list(range(len(heights)))
    places = np.asarray(x, dtype=np.float64)
    kept = set(thinned(len(heights), 25))  # at the least, since the pointer reads points
    spans = list(pairwise(sorted(kept)))
    tolerance = LINE_WIDTH * np.ptp(heights)
    while spans:
        first, last = spans.pop()
        between, ends = slice(first + 1, last), [first, last]
        drawn = np.interp(places[between], places[ends], heights[ends])
        distances = np.abs(heights[between] - drawn)
        if len(distances) and distances.max() > tolerance:
            farthest = first + 1 + int(distances.argmax())
            kept.add(farthest)
            spans += [(first, farthest), (farthest, last)]
    return sorted(kept)
