"""How the rows came to be: accuracy while training, rates and shares, gradients where metered."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from ofa_bench.errors import UsageError
from ofa_bench.formatting import percent, rate
from ofa_bench.leaderboard.board import Board
from ofa_bench.leaderboard.rows import BoardRow
from ofa_bench.records.schema import CurvePoint, Rates, Record
from ofa_bench.records.store import read_bytes
from ofa_bench.report.charts import Chart, Palette, axis, corners, figure, thinned, trace
from ofa_bench.report.tables import label, listed, number, shown, table, word

POINTS = 400  # of a line on a chart
LINES = 12  # of a row in the table beside it
LOWER = {"panel": 1, "legend": False}


@dataclass(frozen=True)
class Metered:
    """How the others' gradient compares with the largest net's: norm over norm, and cosine."""

    steps: tuple[int, ...]
    ratios: tuple[float | None, ...]
    cosines: tuple[float | None, ...]


def metered(results: Path, record: Record) -> Metered | None:
    """The interference a run measured; None where it kept none, or none that can be read."""
    path = results / "runs" / record.run.id / "meter.jsonl"
    if not path.is_file():
        return None
    try:
        lines = read_bytes(path, "meter-bytes").splitlines()
    except UsageError:
        return None
    by_step = dict(line for line in map(_metered_step, lines) if line is not None)
    if not by_step:
        return None
    steps = sorted(by_step)  # a step done again after a kill counts once
    ratios, cosines = zip(*(by_step[step] for step in steps), strict=True)
    return Metered(tuple(steps), ratios, cosines)


def _metered_step(line: bytes) -> tuple[int, tuple[float | None, float | None]] | None:
    try:
        values = json.loads(line)
        ratio, cosine = values["all"]
        return int(values["step"]), (_finite(ratio), _finite(cosine))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _finite(value: Any) -> float | None:
    if value is None:
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def curves_chart(board: Board, palette: Palette, key: str) -> Chart | None:
    """Accuracy on select of the largest and the smallest net; None where no run kept a curve."""
    rows = [(index.row, curve(index.row)) for index in board.places if index.row.good]
    rows = [(row, points) for row, points in rows if points]
    if not rows:
        return None
    data = []
    for row, points in rows:
        data.append(_curve(row, points, "largest", palette))
        data.append(_curve(row, points, "smallest", palette) | {"dash": "2 4", "legend": False})
    ends = [f"{row.label} {percent(points[-1].largest)} %" for row, points in rows]
    lines = [
        [
            word(row.label),
            word(points[index].phase),
            number(points[index].epoch, ".2f"),
            shown(percent(points[index].largest), points[index].largest),
            shown(percent(points[index].smallest), points[index].smallest),
        ]
        for row, points in rows
        for index in thinned(len(points), LINES)
    ]
    heads = ["row", "phase", ">epoch", ">largest, %", ">smallest, %"]
    return Chart(
        id=f"{key}-curves",
        title="Accuracy while training",
        about="Top-1 on held-out images, mean over seeds. Solid: the largest net; dotted: the "
        "smallest.",
        alt=f"Lines of accuracy against epochs; the largest nets end at: {listed(ends)}.",
        figure=figure(data, axis("epoch"), axis("top-1 on select, %")),
        table=table("Accuracy while training", heads, lines),
    )


def curve(row: BoardRow) -> list[CurvePoint]:
    """A row's mean curve: the points that all its seeds have."""
    seeds = [{p.step: p for p in entry.record.curve} for entry in row.good]
    steps = sorted(set.intersection(*(set(points) for points in seeds)))
    return [_average([points[step] for points in seeds]) for step in steps]


def _average(points: Sequence[CurvePoint]) -> CurvePoint:
    def mean(values: Iterable[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return fmean(known) if len(known) == len(points) else None

    update = {
        "largest": mean(point.largest for point in points),
        "smallest": mean(point.smallest for point in points),
    }
    return points[0].model_copy(update=update)


def _curve(
    row: BoardRow, points: Sequence[CurvePoint], net: str, palette: Palette
) -> dict[str, Any]:
    notes = [f"{net} net, {label(point.phase)}" for point in points]
    note = notes if len(set(notes)) > 1 else notes[0]
    x, y = [point.epoch for point in points], [getattr(point, net) for point in points]
    return trace("line", row.label, _drawn(x), _drawn(y), notes=note, **palette.line(row.label))


def rates_chart(by_label: Mapping[str, Rates], palette: Palette, key: str) -> Chart | None:
    """Rate and least share over epochs, by row label; None where no record holds them."""
    if not by_label:
        return None
    ramped = any(share is not None and share < 1 for t in by_label.values() for share in t.shares)
    data = [_rates(name, series.epochs, series.lr, palette) for name, series in by_label.items()]
    panels = [axis("learning rate", zero=True)]
    if ramped:
        data += [
            _rates(name, series.epochs, series.shares, palette) | LOWER
            for name, series in by_label.items()
        ]
        panels.append(axis("share ε", zero=True))
    lines = [
        [
            word(name),
            number(series.epochs[index], ".2f"),
            shown(rate(series.lr[index]), series.lr[index]),
            number(series.shares[index], ".4g"),
        ]
        for name, series in by_label.items()
        for index in thinned(len(series.epochs), LINES)
    ]
    peaks = [f"{name} {rate(max(series.lr))}" for name, series in by_label.items()]
    return Chart(
        id=f"{key}-rates",
        title="Learning rate and ε",
        about="The rate of the largest net, and below it the least share ε of that rate among the "
        "nets that train beside it; as ofa-bench plan tells them.",
        alt=f"Lines of the learning rate against epochs; peaks: {listed(peaks)}.",
        figure=figure(data, axis("epoch"), *panels, height=520 if ramped else 380),
        table=table("Rate and share", ["row", ">epoch", ">learning rate", ">ε"], lines),
    )


def _rates(
    name: str, x: Sequence[float], y: Sequence[float | None], palette: Palette
) -> dict[str, Any]:
    kept = corners(x, y)
    return _line(name, [x[index] for index in kept], [y[index] for index in kept], palette)


def _line(
    name: str, x: Sequence[float], y: Sequence[float | None], palette: Palette
) -> dict[str, Any]:
    return trace("line", name, _drawn(x), _drawn(y), **palette.line(name))


def _drawn(values: Sequence[float | None]) -> list[float | None]:
    """Values to as many digits as a chart can show."""
    return [None if value is None else float(f"{value:.6g}") for value in values]


def interference_chart(by_label: Mapping[str, Metered], palette: Palette, key: str) -> Chart | None:
    """How the smaller nets' gradients outweigh the largest net's; None where none was metered."""
    if not by_label:
        return None
    data, lines = [], []
    for name, series in by_label.items():
        kept = thinned(len(series.steps), POINTS)
        steps = [series.steps[index] for index in kept]
        ratios = [series.ratios[index] for index in kept]
        cosines = [series.cosines[index] for index in kept]
        data.append(_line(name, steps, ratios, palette))
        data.append(_line(name, steps, cosines, palette) | LOWER)
        lines += [
            [
                word(name),
                number(series.steps[index], ",d"),
                number(series.ratios[index], ".3g"),
                number(series.cosines[index], ".3f"),
            ]
            for index in thinned(len(series.steps), LINES)
        ]
    ratio, cosine = axis("norm of others / of largest", zero=True), axis("cosine")
    drawn = figure(data, axis("step"), ratio, cosine, height=520)
    ends = [f"{name} {number(series.ratios[-1], '.3g').text}" for name, series in by_label.items()]
    return Chart(
        id=f"{key}-interference",
        title="Gradient interference",
        about="The norm of the smaller nets' summed gradient over the norm of the largest net's, "
        "shares applied, and the cosine between them; of the first metered seed.",
        alt=f"Lines of the ratio of gradient norms against steps; last ratios: {listed(ends)}.",
        figure=drawn,
        table=table("Interference", ["row", ">step", ">ratio of norms", ">cosine"], lines),
    )
