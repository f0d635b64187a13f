"""Every bundled plugin keeps the contract; one of them in full, training included."""

from __future__ import annotations

import json

import pytest

from ofa_bench.errors import UnknownName
from ofa_bench.hooks.policy import Options, ShrinkPolicy
from ofa_bench.testing import check_plugin, contract

BUNDLED = {"basics": 10, "bignas": 10, "compofa": 10, "deps": 10, "ofa": 10, "trackers": 10}
BUNDLED |= {"alphanet": 10, "attentivenas": 10, "fairnas": 10, "nasvit": 5, "random-subnet": 2}
BUNDLED |= {"spos": 10}


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled(name: str) -> None:
    """No clause is broken, and more than so many are kept."""
    report = check_plugin(name, trains=False)
    assert report.ok, str(report)
    assert sum(verdict.ok is True for verdict in report.verdicts) > BUNDLED[name]


def test_in_full() -> None:
    report = check_plugin("sandwich")
    assert report.ok, str(report)
    kept = {verdict.clause for verdict in report.verdicts if verdict.ok}
    assert {
        "a resumed run gives identical weights",
        "two ranks train like one process",
        "another process gives the same answers",
        "shrink_draws depends on the step alone",
    } <= kept
    assert json.loads(json.dumps(report.to_json()))["ok"] is True


def test_clauses_are_called_in_a_test() -> None:
    held = contract("cosine", trains=False)
    assert len({str(each) for each in held}) == len(held) > 8
    for each in held:
        each()


def test_a_notebooks_class() -> None:
    class Empty(ShrinkPolicy[Options]):
        pass

    report = check_plugin(Empty, trains=False)
    (verdict,) = [v for v in report.broken if v.clause == "assembles into a run"]
    assert "does not define shrink_phases" in verdict.observed


def test_an_unknown_one_is_refused() -> None:
    with pytest.raises(UnknownName) as refused:
        check_plugin("sandwhich")
    assert "sandwich" in refused.value.hint
