"""Cost on boards: what budgets are counted in, and accuracy against the cost of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ofa_bench.cli import console
from ofa_bench.errors import UsageError
from ofa_bench.formatting import DASH, count
from ofa_bench.leaderboard.board import Board, boards_of
from ofa_bench.leaderboard.by_cost.cost_curves import (
    CURVE_HEADS,
    CurveGroup,
    Reach,
    crossing_lines,
    curve_lines,
)
from ofa_bench.leaderboard.cost_axis import MACS, CostAxis, LatencyAxis
from ofa_bench.leaderboard.screening import Screened
from ofa_bench.records.json_text import cell, markdown_table
from ofa_bench.search.latency_table import AGAIN, load_latency_table

REACHED = ("row", ">training MACs", "95 %")


def document(groups: Sequence[CurveGroup], accuracy: float | None) -> list[dict[str, Any]]:
    """Families with their crossings, and the cost of an accuracy."""
    return [
        {
            **asdict(family),
            "crossings": [asdict(item) for item in family.crossings()],
            "reach": [asdict(item) for item in family.reach(accuracy)] if accuracy else [],
        }
        for family in groups
    ]


def show(groups: Sequence[CurveGroup], accuracy: float | None) -> None:
    for family in groups:
        console.table(CURVE_HEADS, curve_lines(family), family.name)
        if accuracy is not None:
            console.table(REACHED, _reached(family, accuracy), f"cost to reach {accuracy:g} %")
        for line in crossing_lines(family):
            console.say(line)


def markdown(groups: Sequence[CurveGroup], accuracy: float | None) -> str:
    """The same as text for a page."""
    parts = []
    for family in groups:
        parts += [f"## {cell(family.name)}", "", *_table(CURVE_HEADS, curve_lines(family)), ""]
        if accuracy is not None:
            parts += [f"Cost to reach {accuracy:g} %:", ""]
            parts += [*_table(REACHED, _reached(family, accuracy)), ""]
        parts += [*(f"* {cell(line)}" for line in crossing_lines(family)), ""]
    return "\n".join(parts)


def _table(columns: Sequence[str], lines: Sequence[Sequence[object]]) -> list[str]:
    return markdown_table(columns, [list(map(cell, line)) for line in lines])


def _reached(family: CurveGroup, accuracy: float) -> list[tuple[object, ...]]:
    return [(item.label, *_cost(item)) for item in family.reach(accuracy)]


def _cost(reach: Reach) -> tuple[str, str]:
    if reach.macs is None:
        return f"not up to {count(reach.most)}", DASH
    at = f"{'at most ' if reach.macs == reach.least else ''}{count(reach.macs)}"
    low = "below" if reach.low in (None, reach.least) else count(reach.low or 0)
    high = f"over {count(reach.most)}" if reach.high is None else count(reach.high)
    return at, f"{low} to {high}"


def chosen(cost: str, tables: Sequence[str], *, alone: bool = True) -> CostAxis:
    """The axis of `--cost` and `--table`; a poor table is warned of.

    Raises UsageError where one of them lacks the other, or what is asked for is over MACs only.
    """
    if cost == "macs":
        if tables:
            raise UsageError("--table is read with --cost latency only", "add --cost latency")
        return MACS
    if not tables:
        raise UsageError("--cost latency needs a table of measured blocks: --table FILE", AGAIN)
    if not alone:
        raise UsageError(
            "--check, --claims, --curve, --reach and --buckets are over MACs", "omit --cost"
        )
    measured = [load_latency_table(file) for file in tables]
    for file, table in zip(tables, measured, strict=True):
        poor = table.poor()
        if poor is not None:
            console.tell(f"warning: {file}: {poor}")
    return LatencyAxis(measured)


def along(axis: CostAxis, boards: Sequence[Board], records: Screened) -> list[Board]:
    """Boards over MACs, made anew along an axis; for those that it does not fit, a line says why.

    Raises UsageError if it fits none of them.
    """
    if axis is MACS or not boards:
        return list(boards)
    made = {board.track.id: board for board in boards_of(records, axis=axis)}
    lines = [_reason(axis, board) for board in boards if board.track.id not in made]
    if len(lines) == len(boards):
        raise UsageError(lines[0], AGAIN)
    for line in lines:
        console.tell(line)
    return [made[board.track.id] for board in boards if board.track.id in made]


def _reason(axis: CostAxis, board: Board) -> str:
    for row in (standing.row for standing in board.places):
        reason = axis.misfit(row.any)
        if reason is not None:
            return f"{board.track.name}, {row.label}: no latency table fits: {reason}"
    return f"{board.track.name}: cannot be shown over {axis.kind}"
