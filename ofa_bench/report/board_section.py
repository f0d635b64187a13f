"""The board on the page: rows, pairwise verdicts and caveats."""

from __future__ import annotations

from collections.abc import Sequence

from ofa_bench.formatting import DASH, count, duration, interval, percent, spread
from ofa_bench.leaderboard.board import Board, Standing
from ofa_bench.leaderboard.buckets import HEADS as RANGE_HEADS
from ofa_bench.leaderboard.buckets import NOTE, lines_of, ranges_of
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
    rows = tuple(tuple(_cells(standing)) for standing in board.places)
    return HtmlTable("A line a row; below the accuracy its interval", HEADS, rows, sortable=True)


def _cells(standing: Standing) -> list[Cell]:
    values, mark = row_json(standing), "grey" if standing.greyed_by else ""
    accuracy, own_range, cost = values["mean_pareto_accuracy"], values["own_range"], values["cost"]
    failed = "failed" if standing.row.failed else mark
    limits = (
        ""
        if accuracy["low"] is None
        else interval(accuracy["low"], accuracy["high"], len(standing.row.good))
    )
    return [
        shown(standing.rank_text, standing.rank, mark),
        Cell(
            standing.row.label + (REPRODUCED if standing.row.reproduced else ""),
            word(values["composition"].replace("+", " + ")).text,
            mark=f"{mark} name",
        ),
        Cell(percent(accuracy["mean"]), limits, accuracy["mean"], f"{mark} strong"),
        shown(f"{values['ok']}/{values['n']}", values["ok"], failed),
        number(own_range["mean"], ".2f", mark),
        number(values["largest_top1"], ".2f", mark),
        number(values["smallest_top1"], ".2f", mark),
        number(values["coverage"]["share"], ".0%", mark),
        shown(count(cost["train_macs"]), cost["train_macs"], mark),
        shown(duration(cost["device_seconds"]), cost["device_seconds"], mark),
        number(cost["usd"], "d", mark),
        shown(time_per_epoch(cost), cost["minutes_per_epoch"], mark),
        number(cost["waiting_share"], ".1%", mark),
        number(values["selection_bonus"], "+.2f", mark),
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
    able = [standing.row for standing in board.places if standing.row.good]
    if len(able) < 2:
        return None
    lines = []
    for a in able:
        cells = [Cell(DASH) if a.id == b.id else _pair(board.pairs[a.id, b.id]) for b in able]
        lines.append([word(a.label, "name"), *cells])
    caption = "The row against the column: verdict, difference in points, family-wise interval"
    return table(caption, ["", *(row.label for row in able)], lines)


def _pair(pair: Pair) -> Cell:
    if pair.low is None or pair.high is None:
        return Cell(pair.verdict, f"{pair.difference:+.2f}", pair.difference, "undecided")
    limits = f"{pair.difference:+.2f} ({spread(pair.low, pair.high)})"
    paired = ", seed by seed" if pair.paired else ""
    return Cell(pair.verdict, limits + paired, pair.difference, MARKS[pair.verdict])


def best_by_macs(board: Board, papers: Sequence[Published]) -> HtmlTable | None:
    """The best net of every row in each range of MACs; None where there is no row."""
    lines = [[word(text) for text in line] for line in lines_of(ranges_of(board, papers))]
    return table(NOTE, RANGE_HEADS, lines) if lines else None


def caveats(board: Board) -> list[str]:
    """What must be read with the rows: failures, gaps, hours that do not compare."""
    lines = [f"{line}." for line in board.order_caveats()]
    for standing in board.places:
        row = standing.row
        lines += [f"{row.label}: {note}." for note in row.notes]
        lines += [f"✓ {row.label}: {line}." for line in reproduced_lines(row)]
        lines += [
            f"{row.label}, seed {record.seed}: {word(record.error, limit=LONGEST).text}"
            for record in row.failed
            if record.error
        ]
        if standing.with_failures is not None:
            lines.append(
                f"{row.label}: {percent(standing.with_failures)} % with failed seeds counted as "
                "chance; a row with failed seeds beats none."
            )
        if standing.greyed_by:
            by = ", ".join(standing.greyed_by)
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
