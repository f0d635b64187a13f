"""A board's rows, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ofa_bench.cli import console
from ofa_bench.cli.numbers import DASH, count, duration, interval, money, percent
from ofa_bench.records.board import Board, Place

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
COSTS = ("train_macs", "device_seconds", "wall_seconds", "subnet_passes", "peak_bytes", "usd")


def document(boards: Sequence[Board], **more: Any) -> dict[str, Any]:
    """All rows of the boards as one JSON document."""
    rows = [row_json(board, place) for board in boards for place in board.places]
    return {**more, "rows": rows, "tracks": [board.track.name for board in boards]}


def row_json(board: Board, place: Place) -> dict[str, Any]:
    """A row as JSON values."""
    row, accuracy = place.row, place.accuracy
    return {
        "track": board.track.name,
        "row_id": row.id,
        "method": row.any.method.name,
        "composition": row.any.method.composition,
        "label": row.label,
        "n": row.n,
        "seeds": [*row.seeds],
        "failed": [{"seed": r.seed, "status": r.status, "error": r.error} for r in row.failed],
        "mean_pareto_accuracy": {
            "mean": accuracy.mean if accuracy else None,
            "low": accuracy.low if accuracy else None,
            "high": accuracy.high if accuracy else None,
        },
        "largest_top1": row.mean("summary", "largest_top1"),
        "smallest_top1": row.mean("summary", "smallest_top1"),
        "cost": {name: row.mean("cost", name) for name in COSTS},
        "rank": place.rank,
        "provisional": place.provisional,
        "greyed_by": [*place.greyed_by],
        "notes": [*row.notes],
    }


def show(board: Board, title: str = "") -> None:
    """A board as a table, and what its rows need to have said of them."""
    console.table(COLUMNS, [_cells(place) for place in board.places], title)
    for place in board.places:
        failed = place.row.failed
        told = {f"seed {record.seed} {record.status}" for record in failed}
        for note in place.row.notes:
            if note not in told:
                console.say(f"{place.row.label}: {note}")
        for record in failed:
            reason = f": {record.error}" if record.error else ""
            console.say(f"{place.row.label}: seed {record.seed} {record.status}{reason}")


def _cells(place: Place) -> tuple[object, ...]:
    row, accuracy = place.row, place.accuracy
    if accuracy is None:
        status = row.failed[0].status if row.failed else DASH
        return (DASH, row.label, row.n, status, *[DASH] * (len(COLUMNS) - 4))
    rank = f"{place.rank}?" if place.provisional else place.rank
    return (
        rank,
        row.label,
        row.n,
        percent(accuracy.mean),
        interval(accuracy.low, accuracy.high),
        percent(row.mean("summary", "largest_top1")),
        percent(row.mean("summary", "smallest_top1")),
        count(row.mean("cost", "train_macs")),
        duration(row.mean("cost", "device_seconds")),
        money(row.mean("cost", "usd")),
    )


def caveats(board: Board) -> list[str]:
    """What the number of seeds can and cannot show."""
    ranked = [place for place in board.places if place.accuracy is not None]
    lines = []
    if any(place.provisional for place in ranked):
        lines.append("? fewer than 3 seeds: the order is provisional")
    if board.detectable is not None:
        lines.append(
            f"differences below {board.detectable:.2f} points cannot be told apart with these seeds"
        )
    elif ranked:
        lines.append("one seed a row says nothing about what another seed would give")
    return lines
