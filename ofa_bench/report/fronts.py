"""Accuracy against MACs: what each budget buys; and against what the training cost."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from ofa_bench.formatting import count, interval, percent
from ofa_bench.leaderboard.board import Board, Standing
from ofa_bench.leaderboard.cost_axis import MACS
from ofa_bench.leaderboard.published import Published
from ofa_bench.leaderboard.rows import BoardRow
from ofa_bench.leaderboard.stats import Estimate
from ofa_bench.records.pareto import Tread, front
from ofa_bench.report.charts import SYMBOLS, Chart, Palette, axis, figure, trace
from ofa_bench.report.tables import Cell, HtmlTable, label, listed, number, shown, table, word

BUDGETS = 7  # lines of the table beside the fronts
REACH = 2.0  # published nets are drawn up to so many times beyond the track's own budgets

Heights = list[tuple[float, float, float] | None]  # mean, lowest and highest seed at each budget


def fronts_chart(board: Board, papers: Sequence[Published], palette: Palette, key: str) -> Chart:
    """The deployed fronts: mean over seeds, from the lowest seed to the highest."""
    rows = [standing.row for standing in board.places if standing.row.good]
    treads = {row.id: [front(row.scores(entry)) for entry in row.good] for row in rows}
    last = {row: fmean(seed[-1].accuracy for seed in seeds) for row, seeds in treads.items()}
    ends = {*board.range, *(row.low for row in rows)}
    macs = {tread.macs for seeds in treads.values() for height in seeds for tread in height}
    grid = sorted(macs | ends)
    data: list[dict[str, Any]] = []
    for row in rows:
        data.append(_front(row, grid, heights(treads[row.id], grid), palette))
    unit = board.axis.unit
    if board.axis is MACS:
        data += _published(papers, min(grid), max(grid))
    x = axis(f"{unit} of the deployed net", si=board.axis is MACS)
    return Chart(
        id=f"{key}-fronts",
        title="What each budget buys",
        about="Test accuracy of the net that was best on held-out images within the budget. "
        "Line: mean over seeds; band: lowest to highest seed. The mean height of a line over the "
        "range that all rows cover is its mean Pareto accuracy.",
        alt=f"Step lines of test accuracy against {unit}. At the largest budget: "
        + listed([f"{row.label} {percent(last[row.id])} %" for row in rows])
        + ".",
        figure=figure(data, x, axis("top-1 on test, %")),
        table=_budgets(board, rows, treads),
    )


def heights(seeds: Sequence[Sequence[Tread]], grid: Sequence[int]) -> Heights:
    """Mean, lowest and highest front at each budget; None left of where all seeds begin."""
    starts = [[tread.macs for tread in treads] for treads in seeds]
    heights: Heights = []
    for budget in grid:
        places = [bisect_right(macs, budget) - 1 for macs in starts]
        if min(places) < 0:
            heights.append(None)
            continue
        values = [treads[standing].accuracy for treads, standing in zip(seeds, places, strict=True)]
        heights.append((fmean(values), min(values), max(values)))
    return heights


def _front(
    row: BoardRow, grid: Sequence[int], heights: Heights, palette: Palette
) -> dict[str, Any]:
    def side(part: int) -> list[float | None]:
        return [None if height is None else round(height[part], 4) for height in heights]

    band = {"low": side(1), "high": side(2)} if len(row.good) > 1 else {}
    x = [row.axis.value(steps) for steps in grid]
    return trace("line", row.label, x, side(0), step=True, **palette.line(row.label), **band)


def _published(papers: Sequence[Published], low: int, high: int) -> list[dict[str, Any]]:
    """Published points, where a user of this track could have had such nets."""
    groups = []
    for paper in papers:
        for row in paper.rows:
            groups.append((f"{row.method}, published", [("", *point) for point in row.points]))
        nets = [(name, int(macs * 1e6), top1) for name, macs, top1 in paper.reference]
        groups.append(("single nets, published", nets))
    traces = []
    for index, (name, points) in enumerate(groups):
        near = [point for point in points if low / REACH <= point[1] <= high * REACH]
        if near:
            notes, macs, top1 = map(list, zip(*near, strict=True))
            look = {"color": "var(--muted)", "symbol": SYMBOLS[index % len(SYMBOLS)], "open": True}
            traces.append(trace("points", name, macs, top1, notes=list(map(label, notes)), **look))
    return traces


def _budgets(
    board: Board, rows: Sequence[BoardRow], treads: Mapping[str, Sequence[Sequence[Tread]]]
) -> HtmlTable:
    low, high = board.range
    grid = [round(low + step * (high - low) / (BUDGETS - 1)) for step in range(BUDGETS)]
    columns = [heights(treads[row.id], grid) for row in rows]
    lines = [
        [
            shown(board.axis.text(budget), board.axis.value(budget)),
            *(_height(column[standing]) for column in columns),
        ]
        for standing, budget in enumerate(grid)
    ]
    heads = [f">budget, {board.axis.unit}", *(f">{row.label}" for row in rows)]
    return table("Accuracy at evenly spaced budgets, % (lowest to highest seed)", heads, lines)


def _height(heights: tuple[float, float, float] | None) -> Cell:
    if heights is None:
        return number(None, "")
    mean, low, high = heights
    return Cell(percent(mean), f"{percent(low)} to {percent(high)}" if low < high else "", mean)


def price_chart(board: Board, palette: Palette, key: str) -> Chart:
    """Mean Pareto accuracy against training MACs, the front of both through the rows."""
    costs = [
        (standing, standing.accuracy, standing.row.mean("cost", "train_macs") or 0.0)
        for standing in board.places
        if standing.accuracy is not None
    ]
    edge = sorted((cost, accuracy.mean) for standing, accuracy, cost in costs if standing.front)
    heights = [round(mean, 4) for _, mean in edge]
    look = {"color": "var(--muted)", "dash": "2 4", "step": True, "silent": True}
    data = [trace("line", "front", [cost for cost, _ in edge], heights, **look)]
    data += [_marker(*item, palette) for item in costs]
    values = [cost for _, _, cost in costs]
    wide = max(values) > 5 * min(values) > 0
    x = axis("training MACs", si=True, log=wide, zero=not wide)
    texts = [f"{s.row.label} {percent(a.mean)} % for {count(cost)}" for s, a, cost in costs]
    return Chart(
        id=f"{key}-price",
        title="Accuracy against cost",
        about="Up is better, left is cheaper. Whiskers: 95 % interval over seeds. The dotted front "
        "runs through rows that none beats at both; pale rows have a cheaper one that is no worse.",
        alt=f"Mean Pareto accuracy against training MACs: {listed(texts)}.",
        figure=figure(data, x, axis("mean Pareto accuracy, %")),
        table=_prices(costs),
    )


def _marker(
    standing: Standing, accuracy: Estimate, cost: float, palette: Palette
) -> dict[str, Any]:
    name = standing.row.label
    look = {"color": palette.hue(name), "symbol": palette.symbol(name)}
    height, pale = round(accuracy.mean, 4), bool(standing.greyed_by)
    marker = trace("points", name, [cost], [height], **look, pale=pale)
    if accuracy.low is None or accuracy.high is None:
        return marker
    return marker | {"low": [max(accuracy.low, 0.0)], "high": [min(accuracy.high, 100.0)]}


def _prices(costs: Sequence[tuple[Standing, Estimate, float]]) -> HtmlTable:
    lines = []
    for standing, accuracy, cost in costs:
        n = len(standing.row.good)
        limits = "" if accuracy.low is None else interval(accuracy.low, accuracy.high, n)
        lines.append(
            [
                word(standing.row.label),
                Cell(percent(accuracy.mean), limits, accuracy.mean),
                shown(count(cost), cost),
                word("yes" if standing.front else "no"),
                word(", ".join(standing.greyed_by)),
            ]
        )
    heads = ["row", ">mean Pareto accuracy, %", ">training MACs", "on the front", "greyed by"]
    return table("Accuracy and training MACs", heads, lines)
