"""The plan of a record is recomputed with bundled code alone; nothing it names is imported."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from ofa_bench import api
from ofa_bench.api import record_checks
from ofa_bench.hooks.catalogue import Catalogue, Origin, discover
from ofa_bench.planning.assemble import Assembly
from ofa_bench.planning.forecast import Forecast
from ofa_bench.recipe.fingerprint import source_of
from ofa_bench.records.schema import Record, sealed
from ofa_bench.records.store import read, read_bits
from ofa_bench.records.validation.validate import findings_of
from ofa_bench.runs.record_checks import plan_of
from tests.records.factory import fields

TOY = Path(__file__).resolve().parents[2] / "results" / "toy"


@pytest.fixture(scope="module")
def plan() -> Assembly:
    return api.plan(method="deps", dataset="digits", space="toy", epochs=4.0)


@pytest.fixture
def imported_by_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that could be imported, and ends whoever does."""
    (tmp_path / "evil_policy.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)


def ran(plan: Assembly, **method: Any) -> Record:
    """The record that a run of this plan would leave, without scores."""
    science = plan.science.model_dump(mode="json")
    parts = {}
    for family, policy in plan.bus.policies.items():
        source = source_of(policy)
        parts[family] = {
            **science[family],
            "distribution": "ofa-bench",
            "version": "0",
            "source": {"hash": source.hash, "text": source.text},
        }
    values = fields("deps", science=science)
    first = values["cost"]["phases"][0]
    values["cost"] |= {"phases": [first | {"name": c.name, "steps": c.steps} for c in plan.cost]}
    values["method"] |= {"composition": plan.science.composition, **parts, **method}
    return sealed(values)


def test_bundled_policies_are_planned_again(plan: Assembly) -> None:
    again = plan_of(ran(plan))
    assert not isinstance(again, str), again
    assert [phase.steps for phase in again.phases] == [cost.steps for cost in plan.cost]
    assert again.rates == Forecast(plan).rates()


@pytest.mark.parametrize("name", ["lr", "shares", "steps", "epochs"])
def test_rates_that_the_recipe_does_not_give_are_a_finding(name: str) -> None:
    (path,) = TOY.glob("records/*/*/*.json")
    record = read(path)
    assert findings_of(record, None, lambda: read_bits(path, record), record_checks()) == []
    values = record.model_dump(mode="json", by_alias=True)
    curve = values["rates"][name]
    curve[-1] = (curve[-1] or 0) + 1
    forged = sealed({key: value for key, value in values.items() if key != "sha256"})
    fields = {
        finding.field
        for finding in findings_of(forged, None, lambda: read_bits(path, record), record_checks())
    }
    assert fields == {f"rates.{name}"}


@pytest.mark.parametrize(
    "change",
    [
        {"distribution": "evil_policy"},
        {"name": "evil_policy:Cosine"},
        {"source": {"hash": "0" * 64, "text": "class Other: ..."}},
    ],
    ids=["distribution", "name", "source"],
)
def test_other_code_is_not_asked(
    plan: Assembly, change: dict[str, Any], imported_by_nobody: None
) -> None:
    """A plugin named in a record stays where it is, even where it could be imported."""
    lr = ran(plan).method.model_dump(mode="json")["lr"]
    assert isinstance(plan_of(ran(plan, lr=lr | change)), str)
    assert "evil_policy" not in sys.modules


def test_an_installed_policy_of_others_is_not_imported_either(
    plan: Assembly, imported_by_nobody: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the record says that it is ours."""
    catalogue = Catalogue(Origin("other", "ofa-bench-other"))
    catalogue.lr("strange", "evil_policy:Strange")
    catalogue.merge(discover().catalogue)
    monkeypatch.setattr("ofa_bench.runs.record_checks.trusted", lambda: catalogue)
    values = ran(plan).model_dump(mode="json", by_alias=True)
    values["science"]["lr"]["name"] = values["method"]["lr"]["name"] = "strange"
    assert "strange" in str(plan_of(sealed(values)))
    assert "evil_policy" not in sys.modules
