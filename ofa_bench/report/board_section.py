"""The board on the page: its rows, its pairs, and what has to be said with them."""

from __future__ import annotations

from ofa_bench.formatting import DASH, count, duration, interval, percent, spread
from ofa_bench.leaderboard.board import Board, Standing
from ofa_bench.leaderboard.export import (
    REPRODUCED,
    reproduced_lines,
    row_json,
    time_per_epoch,
)
from ofa_bench.leaderboard.published import Published
from ofa_bench.leaderboard.rows import WAITING
from ofa_bench.leaderboard.stats import Pair
from ofa_bench.report.tables import Cell, HtmlTable, number, shown, table, word
from ofa_bench.report.texts import LONGEST

HEADS = (
    ">rank",
    "row",
    ">mean Pareto accuracy, %",
    ">ok/n",
    ">over its own range",
    ">largest, %",
    ">smallest, %",
    ">coverage",
    ">training MACs",
    ">device time",
    ">$",
    ">time/epoch",
    ">waiting",
    ">selection bonus",
)
MARKS = {"better": "better", "no worse": "noworse", "undecided": "undecided"}


def leaderboard(board: Board) -> HtmlTable:
    """A row a line, as `ofa-bench board` has them."""
    rows = tuple(tuple(_cells(place)) for place in board.places)
    return HtmlTable("A line a row; below the accuracy its interval", HEADS, rows, sortable=True)


def _cells(place: Standing) -> list[Cell]:
    told, mark = row_json(place), "grey" if place.greyed_by else ""
    found, own, cost = told["mean_pareto_accuracy"], told["own_range"], told["cost"]
    failed = "failed" if place.row.failed else mark
    limits = (
        "" if found["low"] is None else interval(found["low"], found["high"], len(place.row.good))
    )
    return [
        shown(place.rank_text, place.rank, mark),
        Cell(
            place.row.label + (REPRODUCED if place.row.reproduced else ""),
            word(told["composition"].replace("+", " + ")).text,
            mark=f"{mark} name",
        ),
        Cell(percent(found["mean"]), limits, found["mean"], f"{mark} strong"),
        shown(f"{told['ok']}/{told['n']}", told["ok"], failed),
        number(own["mean"], ".2f", mark),
        number(told["largest_top1"], ".2f", mark),
        number(told["smallest_top1"], ".2f", mark),
        number(told["coverage"]["share"], ".0%", mark),
        shown(count(cost["train_macs"]), cost["train_macs"], mark),
        shown(duration(cost["device_seconds"]), cost["device_seconds"], mark),
        number(cost["usd"], "d", mark),
        shown(time_per_epoch(cost), cost["minutes_per_epoch"], mark),
        number(cost["waiting_share"], ".1%", mark),
        number(told["selection_bonus"], "+.2f", mark),
    ]


def preface(board: Board) -> str:
    """What the numbers are, and what they cannot show."""
    low, high = board.range
    return (
        f"Mean Pareto accuracy over budgets of {count(low)} to {count(high)} MACs, the range that "
        f"all rows cover, with its 95 % interval over seeds. Rank is 1 + the rows that beat it. "
        f"In this board, {board.detectable_text}."
    )


def pairs(board: Board) -> HtmlTable | None:
    """Who is better than whom; None where there are no two rows to compare."""
    able = [place.row for place in board.places if place.row.good]
    if len(able) < 2:
        return None
    lines = []
    for a in able:
        said = [Cell(DASH) if a.id == b.id else _pair(board.pairs[a.id, b.id]) for b in able]
        lines.append([word(a.label, "name"), *said])
    caption = "The row against the column: verdict, difference in points, family-wise interval"
    return table(caption, ["", *(row.label for row in able)], lines)


def _pair(pair: Pair) -> Cell:
    if pair.low is None or pair.high is None:
        return Cell(pair.verdict, f"{pair.difference:+.2f}", pair.difference, "undecided")
    limits = f"{pair.difference:+.2f} ({spread(pair.low, pair.high)})"
    paired = ", seed by seed" if pair.paired else ""
    return Cell(pair.verdict, limits + paired, pair.difference, MARKS[pair.verdict])


def caveats(board: Board) -> list[str]:
    """What must be read with the rows: failures, gaps, hours that do not compare."""
    lines = [f"{line}." for line in board.order_caveats()]
    for place in board.places:
        row = place.row
        lines += [f"{row.label}: {note}." for note in row.notes]
        lines += [f"✓ {row.label}: {line}." for line in reproduced_lines(row)]
        lines += [
            f"{row.label}, seed {record.seed}: {word(record.error, limit=LONGEST).text}"
            for record in row.failed
            if record.error
        ]
        if place.with_failures is not None:
            lines.append(
                f"{row.label}: {percent(place.with_failures)} % with failed seeds counted as "
                "chance; a row with failed seeds beats none."
            )
        if place.greyed_by:
            by = ", ".join(place.greyed_by)
            lines.append(f"{row.label} is pale: {by} is no worse and cheaper.")
        if (row.mean("cost", "waiting_share") or 0.0) > WAITING:
            lines.append(f"{row.label} waited for data: its hours are not comparable.")
    return lines


def paper_table(paper: Published) -> HtmlTable:
    """A paper's rows; they stand beside, and are never ranked with, measured ones."""
    heads = ["published", ">mean Pareto, %", ">smallest, %", ">largest, %", ">epochs"]
    lines = [
        [
            word(row.method),
            number(row.mean_pareto, ".2f"),
            number(row.smallest, ".2f"),
            number(row.largest, ".2f"),
            number(row.epochs, ",d"),
            number(row.gpu_hours, ",d"),
            number(row.dollars, ",d"),
        ]
        for row in paper.rows
    ]
    return table("Published, not ranked", [*heads, ">GPU-hours", ">$"], lines)
