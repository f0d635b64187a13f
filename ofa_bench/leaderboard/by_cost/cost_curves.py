"""Accuracy against cost: rows of one comparison at several sizes of its budget."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import exp, log
from typing import Any

from ofa_bench.formatting import count, duration, interval, percent
from ofa_bench.leaderboard.rows import BoardRow, labels, rows
from ofa_bench.leaderboard.stats import Estimate, estimate
from ofa_bench.records.schema import Record, canonical
from ofa_bench.records.spaces import budget_range
from ofa_bench.records.store import StoredRecord
from ofa_bench.records.track import Track, tracks

CURVE_HEADS = ("row", "budget", ">n", ">training MACs", ">device time", ">mean Pareto, %", "95 %")
SIZES = (0.25, 0.5, 1.0, 2.0)  # of a comparison's budget


@dataclass(frozen=True)
class Point:
    """A row at one budget: mean training MACs and device-hours, and mean Pareto accuracy."""

    budget: str
    macs: float
    hours: float
    n: int
    accuracy: Estimate


@dataclass(frozen=True)
class CostCurve:
    """A row's points by cost; between them accuracy is linear in the logarithm of cost."""

    label: str
    points: tuple[Point, ...]

    def at(self, macs: float) -> float:
        """Accuracy at a cost inside the measured range."""
        costs = [point.macs for point in self.points]
        index = min(max(bisect_right(costs, macs) - 1, 0), len(costs) - 2)
        a, b = self.points[index], self.points[index + 1]
        part = log(macs / a.macs) / log(b.macs / a.macs) if b.macs > a.macs else 0.0
        return a.accuracy.mean + part * (b.accuracy.mean - a.accuracy.mean)


@dataclass(frozen=True)
class Crossing:
    """Where the leading row changes: `first` leads below the cost, `then` above it."""

    first: str
    then: str
    macs: float


@dataclass(frozen=True)
class Reach:
    """The cost of an accuracy. `low` and `high`: where the ends of the 95 % interval reach it; None
    where they do not inside the measured range, since nothing is extrapolated."""

    label: str
    macs: float | None
    low: float | None
    high: float | None
    least: float
    most: float


@dataclass(frozen=True)
class CurveGroup:
    """Tracks that differ in the size of their budget alone, and their rows' curves."""

    name: str
    curves: tuple[CostCurve, ...]

    def crossings(self) -> list[Crossing]:
        """All changes of the lead between two rows, by cost."""
        pairs = combinations(self.curves, 2)
        return sorted((c for a, b in pairs for c in _crossings(a, b)), key=lambda c: c.macs)

    def reach(self, accuracy: float) -> list[Reach]:
        """What each row costs up to an accuracy, in percent."""
        return [_reach(curve, accuracy) for curve in self.curves]


def families(entries: Iterable[StoredRecord]) -> list[CurveGroup]:
    """Families with at least two budgets; rows with at least two points. Runs that trained nothing
    have no place on an axis of cost."""
    groups: dict[bytes, list[tuple[Track, list[StoredRecord]]]] = {}
    able = [entry for entry in entries if entry.record.good and entry.record.cost.train_macs]
    for track, records in tracks(able).items():
        groups.setdefault(family_key(track), []).append((track, records))
    return [_family(group) for group in groups.values() if len(group) > 1]


def family_key(track: Track) -> bytes:
    """What tracks have in common that differ in the size of their budget alone."""
    rest = {name: fact for name, fact in track.facts.items() if name != "budget"}
    return canonical([rest, track.facts["budget"][0]])


def curve_lines(group: CurveGroup) -> list[tuple[str, ...]]:
    """A line a row and budget, by `CURVE_HEADS`."""
    return [
        (
            curve.label,
            point.budget,
            str(point.n),
            count(point.macs),
            duration(point.hours * 3600),
            percent(point.accuracy.mean),
            interval(point.accuracy.low, point.accuracy.high, point.n),
        )
        for curve in group.curves
        for point in curve.points
    ]


def crossing_lines(group: CurveGroup) -> list[str]:
    """A sentence for each change of the lead."""
    return [
        f"{item.then} passes {item.first} at {count(item.macs)} training MACs"
        for item in group.crossings()
    ]


def _family(group: Sequence[tuple[Track, list[StoredRecord]]]) -> CurveGroup:
    every = [(track, row) for track, records in group for row in rows(records)]
    low, high = budget_range(every[0][1].any)
    low = max([low, *(row.low for _, row in every)])
    by_row: dict[str, list[tuple[Track, BoardRow]]] = {}
    for track, row in every:
        by_row.setdefault(_who(row.any), []).append((track, row))
    named = labels({who: _sizeless(rows_[0][1].any) for who, rows_ in by_row.items()})
    points_by_row = {who: [_point(*item, low, high) for item in by_row[who]] for who in by_row}
    curves = [
        CostCurve(named[who], tuple(sorted(points, key=lambda point: point.macs)))
        for who, points in points_by_row.items()
        if len(points) > 1
    ]
    track = group[0][0]
    rule = track.budget.partition("-")[0]
    return CurveGroup(f"{track.dataset} · {track.space} · {rule}", tuple(curves))


def _point(track: Track, row: BoardRow, low: int, high: int) -> Point:
    values = row.values(low, high)
    macs = row.mean("cost", "train_macs") or 0.0
    hours = (row.mean("cost", "device_seconds") or 0.0) / 3600
    return Point(track.budget, macs, hours, len(values), estimate(values))


def _sizeless(record: Record) -> Record:
    science = {key: value for key, value in record.science.items() if key != "budget"}
    return record.model_copy(update={"science": science})


def _who(record: Record) -> str:
    """What stays of a row's identity when its budget's size changes."""
    science: Mapping[str, Any] = _sizeless(record).science
    sources = [part.source.hash for part in record.method.parts]
    return canonical([record.method.name, science, sources]).decode()


def _crossings(a: CostCurve, b: CostCurve) -> list[Crossing]:
    least = max(a.points[0].macs, b.points[0].macs)
    most = min(a.points[-1].macs, b.points[-1].macs)
    inner = {p.macs for p in (*a.points, *b.points) if least < p.macs < most}
    if least >= most:
        return []
    gaps = [(macs, a.at(macs) - b.at(macs)) for macs in sorted({least, most, *inner})]
    crossings = []
    for (start, before), (end, after) in pairwise(gaps):
        if before * after < 0:
            part = before / (before - after)
            macs = exp(log(start) + part * log(end / start))
            first, then = (a, b) if before > 0 else (b, a)
            crossings.append(Crossing(first.label, then.label, macs))
    return crossings


def _reach(curve: CostCurve, accuracy: float) -> Reach:
    mean, low, high = (
        _first([(point.macs, getattr(point.accuracy, end)) for point in curve.points], accuracy)
        for end in ("mean", "high", "low")
    )
    return Reach(curve.label, mean, low, high, curve.points[0].macs, curve.points[-1].macs)


def _first(points: Sequence[tuple[float, float | None]], accuracy: float) -> float | None:
    """The least cost at which a curve holds the accuracy; its first point, where that does."""
    if points[0][1] is not None and points[0][1] >= accuracy:
        return points[0][0]
    for (start, below), (end, above) in pairwise(points):
        if below is not None and above is not None and below < accuracy <= above:
            return exp(log(start) + (accuracy - below) / (above - below) * log(end / start))
    return None
