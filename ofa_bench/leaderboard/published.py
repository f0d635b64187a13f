"""What papers print, beside what is measured: recomputed where it follows from other figures."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from math import floor
from typing import Any

from ofa_bench.records.pareto import trapezoid
from ofa_bench.space import load_space
from ofa_bench.spec_files import load_toml, specs_root

TABLES_ON = "imagenet"  # the data set that the cost table and the single nets are about


@dataclass(frozen=True)
class PublishedRow:
    """One method of one paper. `points`: its digitised front, MACs and percent; `mean_pareto`: the
    area under them; `dollars`: from GPU-hours and the price per hour, whole and rounded down, as
    the paper does."""

    method: str
    mean_pareto: float | None
    smallest: float | None
    largest: float | None
    epochs: int | None
    gpu_hours: int | None
    dollars: int | None
    points: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Published:
    """A paper's figures on one data set."""

    source: str
    rows: tuple[PublishedRow, ...]
    reference: tuple[tuple[str, int, float], ...]  # single nets: name, millions of MACs, top-1
    notes: tuple[str, ...]


def published(dataset: str) -> list[Published]:
    """The published figures on a data set, by paper; none where no paper has it."""
    papers = []
    for path in sorted((specs_root() / "published").glob("*.toml")):
        table = load_toml(path)
        points = table["figure_5"].get(dataset, {})
        costs = table["table_2"] if dataset == TABLES_ON else []
        names = list(dict.fromkeys([*(cost["method"] for cost in costs), *points]))
        if names:
            price = Decimal(table["dollars_per_gpu_hour"])
            rows = tuple(_row(name, costs, points, table, price) for name in names)
            nets = table["reference"] if dataset == TABLES_ON else []
            single = tuple((net["name"], net["macs"], net["top1"]) for net in nets)
            papers.append(Published(table["source"], rows, single, tuple(table["notes"])))
    return papers


def _row(
    name: str, costs: list[Any], points: dict[str, list[float]], table: Any, price: Decimal
) -> PublishedRow:
    cost: dict[str, Any] = next((line for line in costs if line["method"] == name), {})
    curve = points.get(name)
    hours = cost.get("gpu_hours")
    drawn = points_of(table["space"], table["nets"], curve) if curve else ()
    return PublishedRow(
        method=name,
        mean_pareto=trapezoid(drawn) if drawn else None,
        smallest=curve[0] if curve else cost.get("smallest"),
        largest=curve[-1] if curve else cost.get("largest"),
        epochs=cost.get("epochs"),
        gpu_hours=hours,
        dollars=None if hours is None else floor(hours * price),
        points=drawn,
    )


def points_of(
    space_name: str, nets: list[str], accuracies: list[float]
) -> tuple[tuple[int, float], ...]:
    """A published front: the nets' MACs, which are the space's, and their accuracies."""
    space = load_space(space_name)
    macs = [space.macs(space.subnet(net)) for net in nets]
    return tuple(zip(macs, accuracies, strict=True))
