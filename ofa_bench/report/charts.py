"""What charts share: their words, their colours by name, their layout.

Colours are names of CSS variables; the page's script puts in their values, light or dark.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ofa_bench.report.tables import HtmlTable

HUES = 8
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star")
DASHES = ("solid", "dash", "dot", "dashdot")


@dataclass(frozen=True)
class Chart:
    """A plotly figure and its words: `alt` for those who do not see it, `table` its numbers."""

    id: str
    title: str
    about: str
    alt: str
    figure: Mapping[str, Any]
    table: HtmlTable


class Palette:
    """One colour for a row's label all over the page; past the eighth, another dash."""

    def __init__(self, labels: Iterable[str]) -> None:
        self._places = {name: index for index, name in enumerate(sorted(set(labels)))}

    def hue(self, name: str) -> str:
        """The colour of a line or marker."""
        return f"var(--c{self._places[name] % HUES})"

    def band(self, name: str) -> str:
        """The same, to be seen through."""
        return f"var(--c{self._places[name] % HUES}-band)"

    def dash(self, name: str) -> str:
        """How a line is broken."""
        return DASHES[self._places[name] // HUES % len(DASHES)]

    def symbol(self, name: str) -> str:
        """The shape of a marker."""
        return SYMBOLS[self._places[name] % len(SYMBOLS)]

    def line(self, name: str, **more: Any) -> dict[str, Any]:
        """A row's line."""
        return {"color": self.hue(name), "dash": self.dash(name), "width": 2.5, **more}


def axis(title: str, **more: Any) -> dict[str, Any]:
    """An axis with its title."""
    return {
        "title": {"text": title, "standoff": 8},
        "automargin": True,
        "gridcolor": "var(--line)",
        "linecolor": "var(--line)",
        "zeroline": False,
        **more,
    }


def figure(
    data: list[dict[str, Any]],
    x: Mapping[str, Any],
    y: Mapping[str, Any],
    height: int = 420,
    **more: Any,
) -> dict[str, Any]:
    """Traces over two axes, the legend below them."""
    layout = {
        "xaxis": dict(x),
        "yaxis": dict(y),
        "height": height,
        "margin": {"l": 8, "r": 8, "t": 12, "b": 8},
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "var(--ink)"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "legend": {"orientation": "h", "x": 0, "y": -68 / (height - 110), "yanchor": "top"},
        "hoverlabel": {
            "bgcolor": "var(--panel)",
            "bordercolor": "var(--line)",
            "font": {"color": "var(--ink)"},
        },
        "modebar": {
            "bgcolor": "rgba(0,0,0,0)",
            "color": "var(--muted)",
            "activecolor": "var(--accent)",
        },
        "showlegend": True,
        "uirevision": "kept",
        **more,
    }
    return {"data": data, "layout": layout}


def thinned(count: int, most: int) -> list[int]:
    """At most so many places of 0..count-1, evenly, with both ends."""
    if count <= most:
        return list(range(count))
    return sorted({round(index * (count - 1) / (most - 1)) for index in range(most)})
