"""Tables of the page, whose cells know what they sort by; and texts from strangers made safe for
the places that autoescaping does not reach."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ofa_bench.formatting import DASH
from ofa_bench.sanitize import plain_text

LONGEST = 2000  # characters of a command or an error
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
FOLD = 26  # characters of a line on a chart


@dataclass(frozen=True)
class Cell:
    """What a cell says, a smaller line below it, what it sorts by, a CSS class of ours, and a page
    of ours that it leads to."""

    text: str
    below: str = ""
    value: float | None = None
    mark: str = ""
    link: str = ""

    @property
    def coarse_value(self) -> float | None:
        """The value, but None where the text is that number already: long tables sort by digits
        that they show."""
        if self.value is None or _NUMBER.fullmatch(self.text):
            return None
        return self.value


@dataclass(frozen=True)
class HtmlTable:
    """A head that begins with `>` stands over numbers; `sortable` by clicking heads."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    sortable: bool = False
    filtered: bool = False

    @property
    def classes(self) -> str:
        """CSS classes: `n3` where the third column is of numbers. Thousands of cells need none."""
        numbers = [f"n{i}" for i, head in enumerate(self.heads, 1) if head.startswith(">")]
        return " ".join(["sortable"] * self.sortable + numbers)


def word(text: object, mark: str = "", limit: int = 200) -> Cell:
    """A text of a record, as one plain line."""
    return Cell(plain_text(text, limit), mark=mark)


def number(value: float | None, form: str, mark: str = "") -> Cell:
    """A number in this format; a dash where there is none."""
    return Cell(DASH if value is None else format(value, form), value=value, mark=mark)


def shown(text: str, value: float | None, mark: str = "") -> Cell:
    """A number that is written as `text`."""
    return Cell(text, value=value, mark=mark)


def table(
    caption: str,
    heads: Iterable[str],
    rows: Iterable[Iterable[Cell]],
    sortable: bool = False,
    filtered: bool = False,
) -> HtmlTable:
    return HtmlTable(caption, tuple(heads), tuple(map(tuple, rows)), sortable, filtered)


def label(text: object, limit: int = 60) -> str:
    """A text for a chart, folded to fit a phone."""
    return "\n".join(textwrap.wrap(plain_text(text, limit), FOLD))


def embedded(value: Any) -> str:
    """JSON that can stand in a script element: nothing in it closes or opens one."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def listed(words: list[str], most: int = 8) -> str:
    """Words between commas, the rest counted."""
    more = len(words) - most
    return ", ".join(words[:most]) + (f" and {more} more" if more > 0 else "")
