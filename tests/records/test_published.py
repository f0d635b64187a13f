"""The paper's columns follow from its other figures."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ofa_bench.leaderboard.published import points_of, published
from ofa_bench.records.pareto import trapezoid
from ofa_bench.spec_files import load_toml, specs_root


def test_areas_and_dollars_are_those_printed() -> None:
    (paper,) = published("imagenet")
    told = load_toml(specs_root() / "published" / "deps.toml")
    rows = {row.method: row for row in paper.rows}
    for printed in told["table_2"]:
        row = rows[printed["method"]]
        assert row.dollars == printed["dollars"]
        if "mean_pareto" in printed:
            assert row.mean_pareto == pytest.approx(printed["mean_pareto"], abs=0.02)
    assert rows["CompOFA"].mean_pareto is None


@pytest.mark.parametrize(
    ("dataset", "method", "area"),
    [
        ("imagenet", "DεpS", 75.82),
        ("imagenet", "OFA", 75.77),
        ("imagenet", "BigNAS", 72.52),
        ("imagenet100", "DεpS", 83.94),
        ("cifar10", "OFA", 94.33),
        ("cifar100", "BigNAS", 71.09),
    ],
)
def test_areas_of_figure_5(dataset: str, method: str, area: float) -> None:
    (paper,) = published(dataset)
    row = next(row for row in paper.rows if row.method == method)
    assert row.mean_pareto == pytest.approx(area, abs=0.006)


def test_areas_of_the_ablation() -> None:
    told = load_toml(specs_root() / "published" / "deps.toml")
    areas = {"warm-up 25 %": 75.50, "warm-up 75 %": 75.37, "without ε-shrinking": 73.93}
    for name, area in areas.items():
        found = trapezoid(points_of(told["space"], told["nets"], told["ablation"][name]))
        assert found == pytest.approx(area, abs=0.006)


def test_the_command_prints_them() -> None:
    words = [sys.executable, "-m", "ofa_bench", "board", "imagenet", "--published"]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    for figure in ("75.8", "72.5", "2675", "1665", "3787", "1491", "MnasNet", "EfficientNet-B0"):
        assert figure in told
    answer = subprocess.run([*words, "--json"], capture_output=True, text=True, check=True).stdout
    assert len(json.loads(answer)["published"][0]["rows"]) == 4
