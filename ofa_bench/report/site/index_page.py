"""The first page: a line a track, what is compared, who leads by the board's own words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ofa_bench.formatting import DASH
from ofa_bench.leaderboard.board import Board
from ofa_bench.leaderboard.columns import ACCURACY, cells, leaders
from ofa_bench.report import compared
from ofa_bench.report.tables import LONGEST, Cell, HtmlTable, listed, shown, table, word

HEADS = ("track", "leader", f">{ACCURACY}", ">runs", "rows that are compared", "last run")

SHORT = 6  # lines that need no filter


@dataclass
class ResultsIndex:
    """What the site has of one results folder; `links` lead to its curves and ground truth."""

    label: str
    lines: list[list[Cell]] = field(default_factory=list)
    links: list[Cell] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    records: int = 0

    @property
    def table(self) -> HtmlTable | None:
        """A line a track; None where there is none."""
        if not self.lines:
            return None
        long = len(self.lines) > SHORT
        return table("A line a track", HEADS, self.lines, sortable=True, filtered=long)


def track_line(board: Board, path: str) -> list[Cell]:
    """A track as a line of the first page."""
    rows = [standing.row for standing in board.places]
    runs = sum(row.n for row in rows)
    first = leaders(board)
    accuracy = cells(first[0])[ACCURACY] if len(first) == 1 else None
    return [
        Cell(track_name(board), mark="name track", link=path),
        _leader(board),
        Cell(accuracy.text, accuracy.aside, accuracy.value) if accuracy else Cell(DASH),
        shown(f"{runs:,}", runs),
        word(listed([row.label for row in rows], 6), "wide", LONGEST),
        word(last_day(board), "date"),
    ]


def _leader(board: Board) -> Cell:
    """The row that none beats, or why the board names none."""
    first = leaders(board)
    few = "; ".join(word(line).text for line in board.order_caveats())
    if not first:
        return Cell(few or "no run has a result")
    labels = word(listed([standing.row.label for standing in first], 3)).text
    rank = "rank 1" if len(first) == 1 else "share rank 1: none is surely better"
    if len(board.places) == 1:
        rank = "the only row"
    return Cell(labels, f"{rank}; {few}" if few else rank)


def track_name(board: Board) -> str:
    """Data set, space and budget."""
    return " · ".join(compared.title(board))


def counted(number: int, noun: str) -> str:
    """A number and its noun: `1 run`, `2,000 runs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def last_day(board: Board) -> str:
    """The day on which the last run of a board ended, as its record has it."""
    records = [record for standing in board.places for record in compared.records(standing.row)]
    return compared.span(records).split(" to ")[-1]


def index_values(collections: Sequence[ResultsIndex]) -> dict[str, Any]:
    """What the first page says, by the names in its template."""
    records = sum(collection.records for collection in collections)
    tracks = sum(len(collection.lines) for collection in collections)
    lead = (
        f"{counted(records, 'run')} on {counted(tracks, 'board')}: methods that train one "
        "network from which networks of many sizes are taken, compared on equal terms. Every "
        "number is computed from records."
    )
    return {"lead": lead, "collections": list(collections)}
