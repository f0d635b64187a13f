"""Accuracy against cost: between measured points, never beyond them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ofa_bench.leaderboard.by_cost.cost_curves import (
    CostCurve,
    Crossing,
    CurveGroup,
    Point,
    families,
)
from ofa_bench.leaderboard.stats import Estimate
from ofa_bench.records.store import StoredRecord

from .factory import cost, make, science


def curve(label: str, *points: tuple[float, float], half: float = 1.0) -> CostCurve:
    return CostCurve(
        label,
        tuple(
            Point(f"epochs-{macs}", macs, 1.0, 3, Estimate(mean, mean - half, mean + half))
            for macs, mean in points
        ),
    )


def test_between_points_accuracy_is_linear_in_the_logarithm_of_cost() -> None:
    line = curve("a", (1, 50), (100, 70), (10_000, 80))
    assert line.at(10) == pytest.approx(60)
    assert line.at(1000) == pytest.approx(75)
    assert [line.at(macs) for macs in (1, 100, 10_000)] == [50, 70, 80]


def test_rows_cross_where_their_lines_do() -> None:
    slow, quick = curve("slow", (1, 40), (10_000, 80)), curve("quick", (1, 50), (10_000, 70))
    assert CurveGroup("x", (slow, quick)).crossings() == [
        Crossing("quick", "slow", pytest.approx(100))
    ]
    above = curve("above", (1, 60), (10_000, 90))
    assert CurveGroup("x", (slow, above)).crossings() == []


def test_rows_without_a_common_cost_do_not_cross() -> None:
    cheap, dear = curve("cheap", (1, 40), (10, 80)), curve("dear", (100, 90), (1000, 95))
    assert CurveGroup("x", (cheap, dear)).crossings() == []


def test_what_an_accuracy_costs() -> None:
    (told,) = CurveGroup("x", (curve("a", (1, 50), (10_000, 70), half=5.0),)).reach(60)
    assert told.macs == pytest.approx(100)
    assert told.low == pytest.approx(10)  # where the upper end, 55 to 75, is 60
    assert told.high == pytest.approx(1000)  # where the lower end, 45 to 65, is 60


def test_nothing_is_extrapolated() -> None:
    (told,) = CurveGroup("x", (curve("a", (1, 50), (100, 70)),)).reach(70.5)
    assert (told.macs, told.high) == (None, None)
    assert told.low == pytest.approx(100 ** (19.5 / 20))
    (told,) = CurveGroup("x", (curve("a", (1, 50), (100, 70)),)).reach(40)
    assert (told.macs, told.low, told.high) == (1, 1, 1)


def test_tracks_that_differ_in_their_budget_alone_make_a_family() -> None:
    entries = []
    for epochs in (1.0, 2.0, 4.0):
        for seed in range(2):
            for method in ("alpha", "beta"):
                budget = {"rule": "epochs", "epochs": epochs}
                record, _ = make(
                    method,
                    seed,
                    70 + epochs,
                    science=science(method, budget=budget),
                    cost=cost(epochs),
                )
                entries.append(StoredRecord(Path(record.run.id), record))
    other, _ = make("alpha", science=science("alpha", precision="bf16"))
    (family,) = families([*entries, StoredRecord(Path("other"), other)])
    assert sorted(each.label for each in family.curves) == ["alpha", "beta"]
    for each in family.curves:
        assert [point.n for point in each.points] == [2, 2, 2]
        assert sorted(p.budget for p in each.points) == ["epochs-1", "epochs-2", "epochs-4"]
