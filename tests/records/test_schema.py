"""Records are values with their own hash, and the published schema is theirs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from ofa_bench.records import schema
from ofa_bench.records.pareto import PAPER_NETS, paper_accuracy, summarise
from ofa_bench.records.schema import Record, json_schema, own_hash, plain, sealed
from ofa_bench.space import load_space
from tests.records.factory import CLASSES, candidates, fields, make, space


def test_the_published_schema_is_current() -> None:
    path = Path(schema.__file__).with_name("schema.json")
    assert path.read_text() == json_schema()


def test_a_sealed_record_carries_its_own_hash() -> None:
    record, _ = make()
    assert record.sha256 == own_hash(record) != "0" * 64


def test_a_record_survives_json() -> None:
    record, _ = make()
    again = Record.model_validate(json.loads(json.dumps(plain(record))))
    assert again == record
    assert own_hash(again) == record.sha256


def test_any_other_value_has_another_hash() -> None:
    record, _ = make()
    other = sealed({**plain(record), "seed": record.seed + 1})
    assert other.sha256 != record.sha256


@pytest.mark.parametrize(
    ("name", "value"),
    [("surprise", 1), ("status", "fine"), ("seed", -1), ("row_id", "short"), ("schema", 2)],
)
def test_what_is_not_in_the_schema_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        sealed({**fields(), name: value})


def test_rates_of_unequal_length_are_refused() -> None:
    rates = {"steps": [0, 1], "epochs": [0.0, 0.1], "lr": [0.1], "shares": [None, 1.0]}
    with pytest.raises(ValidationError, match="the same length"):
        sealed({**fields(), "rates": rates})


def test_fields_of_early_records_stay_in_their_files_and_out_of_new_ones() -> None:
    new = plain(make()[0])
    early = json.loads(json.dumps(new))
    early["cost"]["phases"][0]["energy_joules"] = None
    early["cost"]["beside"] |= {"download_seconds": 0.0, "compile_seconds": 0.0}
    assert "energy_joules" not in str(new) and "_seconds': 0.0" not in str(new["cost"]["beside"])
    assert plain(Record.model_validate(early)) == early


def test_a_record_is_frozen() -> None:
    record, _ = make()
    with pytest.raises(ValidationError):
        record.seed = 3  # type: ignore[misc]


def test_a_space_without_the_six_nets_has_no_paper_metric_and_says_why() -> None:
    record, _ = make()
    assert record.summary is not None
    assert record.summary.mean_pareto_accuracy_paper is None
    assert record.summary.mean_pareto_accuracy_paper_reason == "toy has no net k3e3d3"


def test_the_paper_metric_needs_all_six_nets() -> None:
    whole = load_space("mobilenetv3-32")
    scores = [
        schema.Score(
            subnet=net.to_json(), name=str(net), macs=whole.macs(net, 10), params=1,
            top1_select=50, top1_test=accuracy,
        )
        for net, accuracy in zip(
            [whole.subnet(f"k7e{e}d{d}") for d, e in PAPER_NETS],
            (94.26, 94.45, 94.72, 94.82, 94.93, 95.07), strict=True,
        )
    ]  # fmt: skip
    area, reason = paper_accuracy(scores, whole)
    assert area == pytest.approx(94.76, abs=0.02)
    assert reason is None
    assert paper_accuracy(scores[:4], whole) == (None, "the method did not train k7e6d3, k7e6d4")


def test_a_summary_follows_from_the_scores() -> None:
    record, _ = make()
    assert record.summary == summarise(record.scores, space(), CLASSES)
    assert record.summary.coverage.share == 1.0
    assert record.summary.coverage.low == space().macs(candidates()[0], CLASSES)
