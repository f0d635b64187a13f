"""What the extras of compared runs measured, on the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from ofa_bench.cli import console
from ofa_bench.formatting import DASH
from ofa_bench.leaderboard.board import Board
from ofa_bench.records.extra_metrics import table

COLUMNS = ("measured", "row", ">n", ">mean", ">deviation")


def document(boards: Sequence[Board]) -> list[dict[str, Any]]:
    """Each quantity of each row with its numbers by seed."""
    return [
        {"quantity": quantity, "label": label, "values": values}
        for quantity, label, values in table(_files(boards))
    ]


def show(boards: Sequence[Board]) -> None:
    """One line a quantity and row; nothing where no extra measured."""
    lines = [
        (
            quantity,
            label,
            len(values),
            f"{fmean(values):.4g}",
            f"{stdev(values):.2g}" if len(values) > 1 else DASH,
        )
        for quantity, label, values in table(_files(boards))
    ]
    if lines:
        console.table(COLUMNS, lines, "what extras measured")


def _files(boards: Sequence[Board]) -> dict[str, list[Path]]:
    rows = [standing.row for board in boards for standing in board.places]
    return {row.label: [entry.path for entry in row.good] for row in rows}
