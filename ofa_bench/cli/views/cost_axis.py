"""What the budgets of a board are counted in, as the command line says it."""

from __future__ import annotations

from collections.abc import Sequence

from ofa_bench.cli import console
from ofa_bench.errors import UsageError
from ofa_bench.leaderboard.board import Board, boards_of
from ofa_bench.leaderboard.cost_axis import MACS, CostAxis, LatencyAxis
from ofa_bench.leaderboard.screening import Screened
from ofa_bench.search.latency_table import AGAIN, load_latency_table


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
