"""A board on the terminal and as JSON, and the boards kept beside the records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ofa_bench.cli import console
from ofa_bench.errors import BenchError
from ofa_bench.leaderboard.board import Board
from ofa_bench.leaderboard.board_files import write_boards
from ofa_bench.leaderboard.columns import HEADS, TEXTS, BoardCell, caveats, cells
from ofa_bench.leaderboard.export import to_json
from ofa_bench.leaderboard.screening import Unranked

# A terminal has no room for more.
LEFT_OUT = ("composition", "over its own range", "coverage", "time/epoch", "waiting")
COLUMNS = [head for head in HEADS if head not in (*LEFT_OUT, "selection bonus")]


def document(boards: Sequence[Board], **more: Any) -> dict[str, Any]:
    """The boards as JSON: all rows, each with its track, and the tracks."""
    documents = [to_json(board) for board in boards]
    rows = [{"track": board["track"], **row} for board in documents for row in board.pop("rows")]
    return {**more, "rows": rows, "tracks": documents}


def show(board: Board, title: str = "") -> None:
    """Print a board as a table, then what must be read with it and what its seeds can show."""
    heads = [head if head in TEXTS else f">{head}" for head in COLUMNS]
    rows = [[_cell(row[head]) for head in COLUMNS] for row in map(cells, board.places)]
    console.table(heads, rows, title)
    for line in caveats(board):
        console.say(line)
    if any(standing.accuracy for standing in board.places):
        console.say(f"{board.detectable_text}.")


def _cell(cell: BoardCell) -> str:
    return f"{cell.text} ({cell.aside})" if cell.aside else cell.text


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
