"""Tables beside the board: what extras measured, and where two records differ."""

from __future__ import annotations

from statistics import fmean, stdev

from ofa_bench.formatting import DASH
from ofa_bench.leaderboard.board import Board
from ofa_bench.leaderboard.differences import differences
from ofa_bench.records.extra_metrics import table as readings_of
from ofa_bench.records.schema import Record
from ofa_bench.report.tables import HtmlTable, number, table, word
from ofa_bench.report.texts import LONGEST


def readings(board: Board) -> HtmlTable | None:
    """Each quantity of each row, over its seeds; None where no extra measured."""
    rows = [standing.row for standing in board.places]
    readings = readings_of({row.label: [entry.path for entry in row.good] for row in rows})
    lines = [
        [
            word(quantity),
            word(label, "name"),
            number(len(values), "d"),
            number(fmean(values), ".4g"),
            number(stdev(values) if len(values) > 1 else None, ".2g"),
        ]
        for quantity, label, values in readings
    ]
    heads = ["measured", "row", ">n", ">mean", ">deviation"]
    return table("What extras measured", heads, lines) if lines else None


def difference_table(first: Record, second: Record) -> HtmlTable:
    """The fields in which two records differ, each value on one line."""
    heads = ("field", word(first.run.id).text, word(second.run.id).text)
    lines = tuple(
        (
            word(path, "mono"),
            word(_text(left), "wide", LONGEST),
            word(_text(right), "wide", LONGEST),
        )
        for path, left, right in differences(first, second)
    )
    return HtmlTable("Fields in which the two records differ", heads, lines, True, True)


def _text(value: object) -> str:
    return DASH if value is None else str(value)
