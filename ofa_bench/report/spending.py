"""Where the training went: MACs by phase and role, and the ledger behind them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ofa_bench.formatting import DASH, count, duration
from ofa_bench.leaderboard.board import Board
from ofa_bench.leaderboard.rows import WAITING, BoardRow
from ofa_bench.records.parts import PhaseCost
from ofa_bench.report.charts import Chart, axis, figure, trace
from ofa_bench.report.tables import Cell, HtmlTable, label, listed, number, shown, table, word
from ofa_bench.sanitize import plain_text

ROLES = ("largest", "smallest", "sampled", "teacher", "probe")


@dataclass(frozen=True)
class Segment:
    """A role's training MACs in one phase, and those spent before; means over the row's seeds.
    `main`: no other role has more of the phase."""

    phase: str
    role: str
    macs: float
    before: float
    main: bool


def segments(row: BoardRow) -> list[Segment]:
    """A row's MACs in the order of its phases."""
    segments, before = [], 0.0
    for phases in ledgers(row):
        roles = dict.fromkeys(role for phase in phases for role in phase.macs)
        spent = {role: fmean(phase.macs.get(role, 0) for phase in phases) for role in roles}
        for role in sorted(roles, key=_rank):
            main = role == max(spent, key=spent.__getitem__)
            segments.append(Segment(phases[0].name, role, spent[role], before, main))
            before += spent[role]
    return segments


def ledgers(row: BoardRow) -> Iterator[tuple[PhaseCost, ...]]:
    """Each phase of the seeds with numbers, seed by seed; of a failed one where there are none."""
    records = [entry.record for entry in row.good] or [row.any]
    return zip(*(record.cost.phases for record in records), strict=False)


def _rank(role: str) -> int:
    return ROLES.index(role) if role in ROLES else len(ROLES)


def spending_chart(board: Board, key: str) -> Chart:
    """A bar a row, cut by phase in the order of time and coloured by role."""
    rows = [standing.row for standing in board.places]
    parts = {row.id: segments(row) for row in rows}
    totals = {row.id: sum(item.macs for item in parts[row.id]) for row in rows}
    roles = sorted(
        {item.role for parts_of_row in parts.values() for item in parts_of_row}, key=_rank
    )
    data = [_bars(role, rows, parts) for role in roles]
    x = axis("training MACs", si=True, zero=True)
    names = [label(row.label) for row in rows]
    drawn = figure(data, x, axis(""), height=80 + 46 * len(rows), names=names)
    return Chart(
        id=f"{key}-spending",
        title="Cost by phase and role",
        about="Training MACs of one run, phases from left to right, mean over seeds. A trained "
        "pass counts three forward passes, the teacher's and the probes' one.",
        alt="Bars of training MACs: "
        + listed([f"{row.label} {count(totals[row.id])}" for row in rows])
        + ".",
        figure=drawn,
        table=ledger(rows, roles),
    )


def _bars(role: str, rows: Sequence[BoardRow], parts: dict[str, list[Segment]]) -> dict[str, Any]:
    parts_of_role = [(row, item) for row in rows for item in parts[row.id] if item.role == role]
    return trace(
        "bars",
        role,
        [round(item.macs) for _, item in parts_of_role],
        [label(row.label) for row, _ in parts_of_role],
        color=f"var(--{role})" if role in ROLES else "var(--muted)",
        base=[round(item.before) for _, item in parts_of_role],
        notes=[label(item.phase) for _, item in parts_of_role],
        texts=[plain_text(item.phase, 24) if item.main else "" for _, item in parts_of_role],
    )


def ledger(rows: Sequence[BoardRow], roles: Sequence[str]) -> HtmlTable:
    """The phases of every row, and what they come to."""
    heads = ["row", "phase", ">epochs", ">steps", ">images", ">passes"]
    heads += [f">MACs {role}" for role in roles]
    heads += [">MACs", ">device time", ">waiting for data", ">peak memory"]
    lines = []
    for row in rows:
        every = list(ledgers(row))
        lines += [_line(row.label, seeds[0].name, [seeds], roles) for seeds in every]
        lines.append(_line(row.label, "all phases", every, roles, "total"))
    return table("The ledger: means over seeds", heads, lines)


def _line(
    name: str,
    phase: str,
    every: Sequence[tuple[PhaseCost, ...]],
    roles: Sequence[str],
    mark: str = "",
) -> list[Cell]:
    """One phase, or several added up."""

    def total(field: str) -> float:
        return sum(fmean(getattr(item, field) for item in seeds) for seeds in every)

    def macs(role: str) -> float:
        return sum(fmean(item.macs.get(role, 0) for item in seeds) for seeds in every)

    seconds, wall = total("device_seconds"), total("wall_seconds")
    passes = sum(fmean(sum(item.passes.values()) for item in seeds) for seeds in every)
    spent = [macs(role) for role in roles]
    peak = max((item.peak_bytes for seeds in every for item in seeds), default=0)
    waited = sum(fmean(e.waiting_share * e.wall_seconds for e in seeds) for seeds in every)
    share = waited / wall if wall else 0.0
    return [
        word(name, mark),
        word(phase, mark),
        number(total("epochs"), ".2f", mark),
        number(total("steps"), ",.0f", mark),
        *(shown(count(value), value, mark) for value in (total("images"), passes)),
        *(shown(count(value) if value else DASH, value, mark) for value in spent),
        shown(count(sum(spent)), sum(spent), mark),
        shown(duration(seconds), seconds, mark),
        Cell(f"{share:.1%}", "hours not comparable" if share > WAITING else "", share, mark),
        shown(f"{count(peak)}B" if peak else DASH, peak, mark),
    ]
