"""Accuracy against training cost over several budgets, as `ofa-bench board --curve` has it."""

from __future__ import annotations

from typing import Any

from ofa_bench.formatting import percent
from ofa_bench.leaderboard.by_cost.cost_curves import (
    CURVE_HEADS,
    CostCurve,
    CurveGroup,
    curve_lines,
)
from ofa_bench.report.charts import Chart, Palette, axis, figure, trace
from ofa_bench.report.tables import Cell, label, listed, table, word


def cost_chart(group: CurveGroup, key: str) -> Chart:
    """A line a row through its budgets, with the interval over seeds as a band."""
    palette = Palette(curve.label for curve in group.curves)
    data = [_line(curve, palette) for curve in group.curves]
    ends = [f"{curve.label} {percent(curve.points[-1].accuracy.mean)} %" for curve in group.curves]
    return Chart(
        id=key,
        title="Accuracy against training cost",
        about="Mean Pareto accuracy at each budget; band: 95 % interval over seeds, where there "
        "are two or more. Between measured points accuracy is taken as linear in the logarithm "
        "of cost; beyond them nothing is said.",
        alt=f"Lines of accuracy against training MACs. At the largest budget: {listed(ends)}.",
        figure=figure(
            data,
            axis("training MACs", si=True, log=True),
            axis("mean Pareto accuracy, %"),
        ),
        table=table("Accuracy at each budget", CURVE_HEADS, map(_cells, curve_lines(group))),
    )


def _cells(line: tuple[str, ...]) -> list[Cell]:
    return [word(line[0], "name"), *map(word, line[1:])]


def _line(curve: CostCurve, palette: Palette) -> dict[str, Any]:
    points = curve.points
    bounds = [(point.accuracy.low, point.accuracy.high) for point in points]
    known = all(low is not None and high is not None for low, high in bounds)
    band = {
        "low": [max(low, 0.0) for low, _ in bounds if low is not None],
        "high": [min(high, 100.0) for _, high in bounds if high is not None],
    }
    return trace(
        "line",
        curve.label,
        [point.macs for point in points],
        [round(point.accuracy.mean, 4) for point in points],
        notes=[label(point.budget) for point in points],
        **palette.line(curve.label),
        **(band if known else {}),
    )
