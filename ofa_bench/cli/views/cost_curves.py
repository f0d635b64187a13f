"""Cost curves on the terminal, as markdown and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ofa_bench.cli import console
from ofa_bench.formatting import DASH, count, duration, interval, percent
from ofa_bench.leaderboard.by_cost.cost_curves import CurveGroup, Reach
from ofa_bench.records.json_text import cell, markdown_table

POINTS = ("row", "budget", ">n", ">training MACs", ">device time", ">mean Pareto, %", "95 %")
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
        console.table(POINTS, _points(family), family.name)
        if accuracy is not None:
            console.table(REACHED, _reached(family, accuracy), f"cost to reach {accuracy:g} %")
        for line in _crossed(family):
            console.say(line)


def markdown(groups: Sequence[CurveGroup], accuracy: float | None) -> str:
    """The same as text for a page."""
    parts = []
    for family in groups:
        parts += [f"## {cell(family.name)}", "", *_table(POINTS, _points(family)), ""]
        if accuracy is not None:
            parts += [f"Cost to reach {accuracy:g} %:", ""]
            parts += [*_table(REACHED, _reached(family, accuracy)), ""]
        parts += [*(f"* {cell(line)}" for line in _crossed(family)), ""]
    return "\n".join(parts)


def _table(columns: Sequence[str], lines: Sequence[Sequence[object]]) -> list[str]:
    return markdown_table(columns, [list(map(cell, line)) for line in lines])


def _points(family: CurveGroup) -> list[tuple[object, ...]]:
    return [
        (
            curve.label,
            point.budget,
            point.n,
            count(point.macs),
            duration(point.hours * 3600),
            percent(point.accuracy.mean),
            interval(point.accuracy.low, point.accuracy.high, point.n),
        )
        for curve in family.curves
        for point in curve.points
    ]


def _reached(family: CurveGroup, accuracy: float) -> list[tuple[object, ...]]:
    return [(item.label, *_cost(item)) for item in family.reach(accuracy)]


def _cost(reach: Reach) -> tuple[str, str]:
    if reach.macs is None:
        return f"not up to {count(reach.most)}", DASH
    at = f"{'at most ' if reach.macs == reach.least else ''}{count(reach.macs)}"
    low = "below" if reach.low in (None, reach.least) else count(reach.low or 0)
    high = f"over {count(reach.most)}" if reach.high is None else count(reach.high)
    return at, f"{low} to {high}"


def _crossed(family: CurveGroup) -> list[str]:
    return [
        f"{item.then} passes {item.first} at {count(item.macs)} training MACs"
        for item in family.crossings()
    ]
