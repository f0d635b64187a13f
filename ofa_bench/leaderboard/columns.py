"""The columns of a board and its caveats, said once for Markdown, page and terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import floor
from typing import Any

from ofa_bench.formatting import DASH, count, duration, interval, percent
from ofa_bench.leaderboard.board import Board, Standing
from ofa_bench.leaderboard.rows import WAITING, BoardRow

REPRODUCED = " ✓"  # after the name of a row of which a rerun reproduced a seed
TEXTS = ("method", "composition")  # columns of text from records; the others hold numbers
ACCURACY = "mean Pareto accuracy, % (95 %)"
HEADS = (
    "rank",
    *TEXTS,
    "ok/n",
    ACCURACY,
    "over its own range",
    "largest, %",
    "smallest, %",
    "coverage",
    "training MACs",
    "device time",
    "$",
    "time/epoch",
    "waiting",
    "selection bonus",
)


@dataclass(frozen=True)
class BoardCell:
    """A text, the number that it sorts by, and what stands beside it in smaller letters."""

    text: str
    value: float | None = None
    aside: str = ""

    def __str__(self) -> str:
        return f"{self.text} ({self.aside})" if self.aside else self.text


def cells(standing: Standing) -> dict[str, BoardCell]:
    """A row's cells by head, in the order of `HEADS`."""
    row = standing.row
    cost = row_cost(row)
    device, epoch = cost["device_seconds"], cost["minutes_per_epoch"]
    device_text = duration(device) + ("" if cost["comparable_hours"] or device is None else " †")
    shown = [
        BoardCell(standing.rank_text, standing.rank),
        BoardCell(row.label + (REPRODUCED if row.reproduced else "")),
        BoardCell(row.any.method.composition),
        BoardCell(f"{len(row.good)}/{row.n}", len(row.good)),
        _accuracy(standing),
        _number(row.own_range().mean if row.good else None, ".2f"),
        _number(row.mean("summary", "largest_top1"), ".2f"),
        _number(row.mean("summary", "smallest_top1"), ".2f"),
        _number(row.mean("summary", "coverage", "share"), ".0%"),
        BoardCell(count(cost["train_macs"]), cost["train_macs"]),
        BoardCell(device_text, device),
        _number(cost["usd"], "d"),
        BoardCell(DASH if epoch is None else duration(epoch * 60), epoch),
        _number(cost["waiting_share"], ".1%"),
        _number(row.mean("summary", "selection_bonus"), "+.2f"),
    ]
    return dict(zip(HEADS, shown, strict=True))


def _number(value: float | None, form: str) -> BoardCell:
    value = fine(value)
    return BoardCell(DASH if value is None else format(value, form), value)


def _accuracy(standing: Standing) -> BoardCell:
    accuracy, row = standing.accuracy, standing.row
    if accuracy is None:
        return BoardCell(row.failed[0].status if row.failed else DASH)
    limits = "" if accuracy.low is None else interval(accuracy.low, accuracy.high, len(row.good))
    return BoardCell(percent(accuracy.mean), fine(accuracy.mean), limits)


def leaders(board: Board) -> list[Standing]:
    """The rows that no row beats, where there are seeds enough to tell; see `order_caveats`."""
    return [standing for standing in board.places if standing.rank_text == "1"]


def row_cost(row: BoardRow) -> dict[str, Any]:
    """What a run of this row cost, on average over its good seeds; $ whole, rounded down."""
    device, usd = row.mean("cost", "device_seconds"), row.mean("cost", "usd")
    waiting = row.mean("cost", "waiting_share")
    epochs = [sum(p.epochs for p in entry.record.cost.phases) for entry in row.good]
    mean_epochs = sum(epochs) / len(epochs) if epochs else None
    return {
        "train_macs": _whole(row.mean("cost", "train_macs")),
        "subnet_passes": _whole(row.mean("cost", "subnet_passes")),
        "images": _whole(row.mean("cost", "images")),
        "device_seconds": fine(device),
        "device_hours": None if device is None else float(f"{device / 3600:.6g}"),
        "wall_seconds": fine(row.mean("cost", "wall_seconds")),
        "usd": None if usd is None else floor(usd + 1e-9),
        "epochs": fine(mean_epochs),
        "minutes_per_epoch": fine(device / 60 / mean_epochs) if device and mean_epochs else None,
        "waiting_share": fine(waiting),
        "comparable_hours": waiting is not None and waiting <= WAITING,
        "peak_bytes": _whole(row.mean("cost", "peak_bytes")),
        "device": sorted({entry.record.machine.model for entry in row.good}),
    }


def fine(value: float | None) -> float | None:
    """The value to four decimals, so that machines agree."""
    return None if value is None else round(value, 4)


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def caveats(board: Board, spell: Callable[[str], str] = str) -> list[str]:
    """What must be read with the rows, a sentence each; `spell` makes texts of records safe."""
    lines = [f"{line}." for line in board.order_caveats(spell)]
    return lines + [line for standing in board.places for line in _row_caveats(standing, spell)]


def _row_caveats(standing: Standing, spell: Callable[[str], str]) -> Iterator[str]:
    row, name = standing.row, spell(standing.row.label)
    failures = {f"seed {record.seed} {record.status}": record.error for record in row.failed}
    for note in row.notes:
        reason = f": {spell(failures[note] or '')}" if failures.get(note) else ""
        yield f"{name}: {spell(note)}{reason}."
    if standing.with_failures is not None:
        yield (
            f"{name}: {percent(standing.with_failures)} % with failed seeds counted as chance; "
            "a row with failed seeds beats none."
        )
    for seed, machines in row.reproduced.items():
        line = f"seed {seed} was reproduced on {', '.join(machines)}"
        yield f"✓ {name}: {spell(line)}."
    if standing.greyed_by:
        by = ", ".join(spell(label) for label in standing.greyed_by)
        yield f"{name} is greyed: {by} is no worse and cheaper."
    if row.good and not row_cost(row)["comparable_hours"]:
        yield f"† {name} waited for data: its hours are not comparable."
