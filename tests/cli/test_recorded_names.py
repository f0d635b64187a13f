"""A subnet has one name: what `show` prints, `evaluate --subnet` takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Bench

QUICK = ["--space", "toy", "--epochs", "0.2", "--set", "evaluate.per_bucket=3", "--workers", "0"]


def test_names_that_show_prints_are_evaluated(results: Path, bench: Bench) -> None:
    record = bench("run", *QUICK, "--results", results, "--json").json
    run = record["run"]["id"]
    shown = bench("show", run, "--results", results).out
    scores = {score["name"]: score for score in record["scores"]}
    names = [name for name in scores if name in shown.split()]
    odd = [name for name in scores if name.startswith("d")]
    assert names and odd, "nets of mixed depths or ratios have names that say no more"
    words = [word for name in {*names, *odd} for word in ("--subnet", name)]
    done = bench("evaluate", run, *words, "--results", results, "--workers", "0", "--json")
    assert done.code == 0, done.err
    for score in done.json["scores"]:
        recorded = scores[score["name"]]
        assert score["subnet"] == recorded["subnet"]
        assert score["top1_test"] == pytest.approx(recorded["top1_test"])


def test_a_name_of_no_run_is_refused(results: Path, bench: Bench) -> None:
    run = bench("run", *QUICK, "--results", results, "--json").json["run"]["id"]
    done = bench("evaluate", run, "--subnet", "d12-000000-r8", "--results", results)
    assert done.code == 2 and "d12-000000-r8" in done.err
