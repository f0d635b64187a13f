"""Ground truth on the page: rankings beside nets that were trained alone."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from ofa_bench.formatting import DASH, count, percent
from ofa_bench.leaderboard.truth.columns import HEADS, caveats, lines, supernet_label
from ofa_bench.records.truths.schema import TruthNet, TruthRecord
from ofa_bench.report.charts import Chart, Palette, axis, figure, trace
from ofa_bench.report.tables import Cell, HtmlTable, label, listed, number, shown, table, word


def truth_section(title: str, records: Sequence[TruthRecord], key: str) -> dict[str, Any]:
    """A track's table of rankings, its scatter plot, and what must be read with both."""
    rows = [[word(row[0], "name"), *(word(text) for text in row[1:])] for row in lines(records)]
    return {
        "key": key,
        "name": title,
        "rankings": table("How rankings agree with nets alone", HEADS, rows),
        "caveats": caveats(records),
        "chart": _scatter(records, f"{key}-truth"),
    }


def _scatter(records: Sequence[TruthRecord], key: str) -> Chart:
    names = [supernet_label(record, records) for record in records]
    palette = Palette(names)
    data = [_points(name, record, palette) for name, record in zip(names, records, strict=True)]
    values = [value for drawn in data for axis_name in ("x", "y") for value in drawn[axis_name]]
    ends = [min(values, default=0.0), max(values, default=100.0)]
    look = {"color": "var(--muted)", "dash": "2 4", "silent": True}
    data.append(trace("line", "as accurate as alone", ends, ends, **look))
    return Chart(
        id=key,
        title="Nets in a supernet and alone",
        about="Each point is a net: its accuracy with the supernet's weights, and trained alone, "
        "the mean over seeds; whiskers from the lowest to the highest seed. A ranking is good "
        "where points of about the same MACs rise together.",
        alt="Points of accuracy alone against accuracy in a supernet. τ within ranges of MACs: "
        + listed([f"{row[0]} {row[1]}" for row in lines(records)])
        + ".",
        figure=figure(data, axis("top-1 in the supernet, %"), axis("top-1 alone, %")),
        table=_nets(names, records),
    )


def _points(name: str, record: TruthRecord, palette: Palette) -> dict[str, Any]:
    nets = [net for net in record.nets if _alone(net)]
    seeds = [_alone(net) for net in nets]
    return trace(
        "points",
        name,
        [round(100 * net.test / record.images.test, 4) for net in nets],
        [round(fmean(values), 4) for values in seeds],
        low=[min(values) for values in seeds],
        high=[max(values) for values in seeds],
        notes=[label(f"{net.name}, {count(net.macs)} MACs") for net in nets],
        color=palette.hue(name),
        symbol=palette.symbol(name),
    )


def _alone(net: TruthNet) -> list[float]:
    """Accuracies alone of the seeds that did not fail, in percent."""
    return [run.top1_test for run in net.alone if run.top1_test is not None]


def _nets(names: Sequence[str], records: Sequence[TruthRecord]) -> HtmlTable:
    heads = ("net", ">MACs", ">alone, %", *(f">{name}, %" for name in names))
    rows = []
    for index, net in enumerate(records[0].nets):
        scores = [100 * record.nets[index].test / record.images.test for record in records]
        rows.append(
            [
                word(net.name, "name"),
                shown(count(net.macs), net.macs),
                _seeds(net),
                *(number(score, ".2f") for score in scores),
            ]
        )
    return table("Accuracy on test (lowest to highest seed)", heads, rows)


def _seeds(net: TruthNet) -> Cell:
    values = _alone(net)
    failed = [run.status for run in net.alone if run.status != "ok"]
    if not values or failed:
        return Cell(DASH, ", ".join(failed))
    spread = f"{percent(min(values))} to {percent(max(values))}" if len(values) > 1 else ""
    return Cell(percent(fmean(values)), spread, fmean(values))
