"""Tables of the page: cells that know what they sort by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ofa_bench.formatting import DASH
from ofa_bench.sanitize import plain_text


@dataclass(frozen=True)
class Cell:
    """What a cell says, a smaller line below it, what it sorts by, and a CSS class of ours."""

    text: str
    below: str = ""
    value: float | None = None
    mark: str = ""


@dataclass(frozen=True)
class HtmlTable:
    """A head that begins with `>` stands over numbers; `sortable` by clicking heads."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    sortable: bool = False
    filtered: bool = False


def word(text: object, mark: str = "", limit: int = 200) -> Cell:
    """A text of a record, as one plain line."""
    return Cell(plain_text(text, limit), mark=mark)


def number(value: float | None, form: str, mark: str = "") -> Cell:
    """A number in this format; a dash where there is none."""
    return Cell(DASH if value is None else format(value, form), value=value, mark=mark)


def shown(text: str, value: float | None, mark: str = "") -> Cell:
    """A number that is written as `text`."""
    return Cell(text, value=value, mark=mark)


def table(caption: str, heads: Iterable[str], rows: Iterable[Iterable[Cell]]) -> HtmlTable:
    """A table that stands as it is."""
    return HtmlTable(caption, tuple(heads), tuple(tuple(row) for row in rows))
