"""A board on the terminal and as JSON, and the boards kept beside the records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ofa_bench.cli import console
from ofa_bench.errors import BenchError
from ofa_bench.formatting import DASH, count, duration, interval, percent
from ofa_bench.leaderboard.board import Board, Standing
from ofa_bench.leaderboard.board_files import write_boards
from ofa_bench.leaderboard.export import REPRODUCED, reproduced_lines, row_json, to_json
from ofa_bench.leaderboard.screening import Unranked

COLUMNS = (
    ">rank",
    "method",
    ">n",
    ">mean Pareto accuracy, %",
    "95 % interval",
    ">largest, %",
    ">smallest, %",
    ">training MACs",
    ">device time",
    ">$",
)


def document(boards: Sequence[Board], **more: Any) -> dict[str, Any]:
    """The boards as JSON: all rows, each with its track, and the tracks."""
    documents = [to_json(board) for board in boards]
    rows = [{"track": board["track"], **row} for board in documents for row in board.pop("rows")]
    return {**more, "rows": rows, "tracks": documents}


def show(board: Board, title: str = "") -> None:
    """Print a board as a table, then the notes on its rows."""
    console.table(COLUMNS, [_cells(standing) for standing in board.places], title)
    for standing in board.places:
        failed = standing.row.failed
        known = {f"seed {record.seed} {record.status}" for record in failed}
        for line in reproduced_lines(standing.row):
            console.say(f"✓ {standing.row.label}: {line}")
        for note in standing.row.notes:
            if note not in known:
                console.say(f"{standing.row.label}: {note}")
        for record in failed:
            reason = f": {record.error}" if record.error else ""
            console.say(f"{standing.row.label}: seed {record.seed} {record.status}{reason}")


def unranked_document(unranked: Iterable[Unranked]) -> dict[str, Any]:
    """The same for a JSON answer; nothing where all records hold."""
    items = [vars(item) for item in unranked]
    return {"unranked": items} if items else {}


def list_unranked(unranked: Iterable[Unranked]) -> None:
    """Records that do not hold, below the tables that leave them out."""
    lines = [f"  {item}" for item in unranked]
    if lines:
        console.say("not ranked:")
        for line in lines:
            console.say(line)


def _cells(standing: Standing) -> tuple[object, ...]:
    row, accuracy = standing.row, standing.accuracy
    if accuracy is None:
        status = row.failed[0].status if row.failed else DASH
        return (DASH, row.label, row.n, status, *[DASH] * (len(COLUMNS) - 4))
    values = row_json(standing)
    cost = values["cost"]
    return (
        standing.rank_text,
        row.label + (REPRODUCED if row.reproduced else ""),
        row.n,
        percent(accuracy.mean),
        interval(accuracy.low, accuracy.high, len(row.good)),
        percent(values["largest_top1"]),
        percent(values["smallest_top1"]),
        count(cost["train_macs"]),
        duration(cost["device_seconds"]),
        DASH if cost["usd"] is None else cost["usd"],
    )


def caveats(board: Board) -> list[str]:
    """What the number of seeds can and cannot show."""
    ranked = [standing for standing in board.places if standing.accuracy is not None]
    lines = board.order_caveats()
    if ranked:
        lines.append(board.detectable_text)
    return lines


def refresh(results: Path) -> None:
    """Write the boards anew; where that cannot be done, say so and go on."""
    if not console.heard():
        return
    from ofa_bench import api

    try:
        write_boards(results, api.record_checks(candidates=False))
    except BenchError as error:
        console.tell(f"the boards are not written anew: {error.message}")
    except OSError as error:
        console.tell(f"the boards are not written anew: {error.filename}: {error.strerror}")
