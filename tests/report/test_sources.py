"""What the page knows beyond records: rates from ours alone, meters read with care."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from ofa_bench import api
from ofa_bench.cli.views.rates import rates_of
from ofa_bench.hooks.catalogue import Catalogue, Origin, discover
from ofa_bench.leaderboard.board import Board
from ofa_bench.planning.assemble import Assembly
from ofa_bench.planning.forecast import Outlook
from ofa_bench.recipe.fingerprint import source_of
from ofa_bench.records.schema import Record, sealed
from ofa_bench.report import page
from ofa_bench.report.meter import metered
from ofa_bench.report.training import Rates
from tests.records.factory import fields, make

from .conftest import read, sources


def planned() -> Assembly:
    return api.plan(method="deps", dataset="digits", space="toy", epochs=4.0)


def ran(assembly: Assembly, **method: Any) -> Record:
    """The record that a run of this plan would leave, without scores."""
    science = assembly.science.model_dump(mode="json")
    parts = {}
    for family, policy in assembly.bus.policies.items():
        source = source_of(policy)
        parts[family] = {
            **science[family],
            "distribution": "ofa-bench",
            "version": "0",
            "source": {"hash": source.hash, "text": source.text},
        }
    given = fields("deps", science=science)
    phases = [
        given["cost"]["phases"][0] | {"name": cost.name, "steps": cost.steps}
        for cost in assembly.cost
    ]
    given["cost"] |= {"phases": phases}
    given["method"] |= {"composition": assembly.science.composition, **parts, **method}
    return sealed(given)


def test_rates_are_those_of_the_plan() -> None:
    assembly = planned()
    told = rates_of(ran(assembly))
    assert isinstance(told, Rates), told
    found = dict(zip(told.epochs, zip(told.rates, told.shares, strict=True), strict=True))
    for edge in Outlook(assembly).document()["edges"]:
        lr, share = found[edge["epoch"]]
        assert lr == edge["lr"]
        assert share is None or share == edge["share"]
    assert told.shares[0] is None  # the largest net is alone at first
    assert told.shares[-1] == 1.0


def test_other_code_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin named in a record stays where it is, even where it could be imported."""
    assembly = planned()
    (tmp_path / "evil_policy.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    good = ran(assembly).method.model_dump(mode="json")["lr"]
    source = {"hash": "0" * 64, "text": "class Other: ..."}
    for change in (
        {"distribution": "evil_policy"},
        {"name": "evil_policy:Cosine"},
        {"source": source},
    ):
        assert isinstance(rates_of(ran(assembly, lr=good | change)), str)
    assert "evil_policy" not in sys.modules


def test_an_installed_policy_of_others_is_not_imported_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the record says that it is ours."""
    (tmp_path / "evil_policy.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    catalogue = Catalogue(Origin("other", "ofa-bench-other"))
    catalogue.lr("strange", "evil_policy:Strange")
    catalogue.merge(discover().catalogue)
    monkeypatch.setattr("ofa_bench.runs.recorded_plan.trusted", lambda: catalogue)
    told = ran(planned()).model_dump(mode="json", by_alias=True)
    told["science"]["lr"]["name"] = told["method"]["lr"]["name"] = "strange"
    assert "strange" in str(rates_of(sealed(told)))
    assert "evil_policy" not in sys.modules


def test_a_recipe_that_was_changed_since_has_no_rates() -> None:
    assembly = planned()
    told = ran(assembly).model_dump(mode="json", by_alias=True)
    told["cost"]["phases"][0]["steps"] += 1
    assert "phases" in str(rates_of(sealed(told)))


def test_rates_and_meters_are_drawn(found: Board, tmp_path: Path) -> None:
    record, _ = make("alpha", 0)
    folder = tmp_path / "runs" / record.run.id
    folder.mkdir(parents=True)
    lines = [{"step": step, "all": [2.0 - step / 10, 0.5]} for step in (0, 1, 1, 2)]
    text = "\n".join(["no JSON", '{"step": 1e999}', *map(json.dumps, lines), '{"all": 3}'])
    (folder / "meter.jsonl").write_text(text)
    told = metered(tmp_path, record)
    assert told is not None
    assert told.steps == (0, 1, 2)
    assert metered(tmp_path / "elsewhere", record) is None
    rates = Rates((0.0, 1.0), (0.1, 0.05), (None, 0.5))
    text = page([found], sources(rates=lambda record: rates, meter=lambda record: told))
    assert read(text).figure("-rates-data")["data"][0]["y"] == [0.1, 0.05]
    assert read(text).figure("-interference-data")["data"][0]["y"] == [2.0, 1.9, 1.8]
