"""What ground truth says of runs is held against the records of those runs: on committed ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ofa_bench.errors import UsageError
from ofa_bench.leaderboard.truth.columns import ranked, tracks
from ofa_bench.leaderboard.truth.recorded import analysed
from ofa_bench.leaderboard.truth.recorded_runs import KnownRecords, run_findings
from ofa_bench.records.schema import Record, plain, sealed
from ofa_bench.records.spaces import shipped_space
from ofa_bench.records.store import Store
from ofa_bench.records.truths.schema import TruthRecord, sealed_truth, truth_values
from ofa_bench.records.truths.store import truths

GROUND_TRUTH = Path(__file__).resolve().parents[2] / "results" / "ground-truth"
Change = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return [entry.record for entry in Store(GROUND_TRUTH).list()]


@pytest.fixture(scope="module")
def truth() -> TruthRecord:
    (record,) = [record for _, record in truths(GROUND_TRUTH)[0] if record.method == "compofa"]
    return record


def fields(truth: TruthRecord, records: list[Record]) -> dict[str, str]:
    """The fields that are found wrong, with what is said of them."""
    space = shipped_space(truth.space)
    findings = run_findings(truth, KnownRecords.of(records), space, shipped_space)
    return {finding.field: finding.message for finding in findings}


def restated(truth: TruthRecord, change: Change) -> TruthRecord:
    """The truth with a change, sealed anew."""
    values = truth_values(truth)
    change(values)
    return sealed_truth({k: v for k, v in values.items() if k not in ("schema", "sha256")})


def with_record(
    truth: TruthRecord, records: list[Record], run: str, change: Change
) -> tuple[TruthRecord, list[Record]]:
    """The records with one of them changed and sealed anew, and the truth that names it."""
    made = []
    for record in records:
        if record.run.id == run:
            values = plain(record)
            change(values)
            record = sealed({k: v for k, v in values.items() if k != "schema"})
        made.append(record)
    by_run = {record.run.id: record.sha256 for record in made}

    def renamed(values: dict[str, Any]) -> None:
        for net in values["nets"]:
            for alone in net["alone"]:
                alone["record"] = by_run[alone["run"]]

    return restated(truth, renamed), made


def test_committed_truth_is_what_its_records_say(truth: TruthRecord, records: list[Record]) -> None:
    assert fields(truth, records) == {}
    assert not all(net.trained for net in truth.nets)


def test_a_record_that_is_not_here_is_a_finding(truth: TruthRecord, records: list[Record]) -> None:
    """No number of that net can be recomputed, so the truth does not hold; the supernet's record is
    missed with a note."""
    missed = truth.nets[3].alone[1].run
    others = [record for record in records if record.run.id != missed]
    assert list(fields(truth, others)) == ["nets.3.alone.1.record"]
    found = list(run_findings(truth, KnownRecords.of([]), None, shipped_space))
    assert sum(not finding.unknown for finding in found) == 60
    assert [finding.field for finding in found if finding.unknown] == ["run"]
    nothing = restated(truth, lambda v: v["nets"][3]["alone"][1].update(record=None))
    assert "nets.3.alone.1.record" in fields(nothing, records)


TRUTHS: dict[str, Change] = {
    "data": lambda v: v.update(data="0" * 64),
    "dataset": lambda v: v.update(dataset="cifar10"),
    "classes": lambda v: v.update(classes=100),
    "images": lambda v: v["images"].update(test=361),
    "recipe": lambda v: v.update(recipe="0" * 64),
    "budget": lambda v: v.update(budget="epochs-300"),
    "method": lambda v: v.update(method="ofa"),
    "supernet_seed": lambda v: v.update(supernet_seed=3),
    "fingerprint": lambda v: v.update(fingerprint="0" * 64),
    "nets.2.trained": lambda v: v["nets"][2].update(trained=True),
    "nets.4.alone.0": lambda v: v["nets"][4].update(params=1),
    "nets.5.alone.1.top1_select": lambda v: v["nets"][5]["alone"][1].update(top1_select=99.0),
    "nets.6.alone.0.status": lambda v: v["nets"][6]["alone"][0].update(
        status="failed", top1_select=None, top1_test=None
    ),
    "nets.7.alone.0.run": lambda v: v["nets"][7]["alone"][0].update(run="another"),
    "nets.8.alone.0.seed": lambda v: v["nets"][8]["alone"][0].update(
        record=v["nets"][8]["alone"][1]["record"]
    ),
}


@pytest.mark.parametrize("field", TRUTHS)
def test_a_truth_that_says_otherwise_is_refused(
    field: str, truth: TruthRecord, records: list[Record]
) -> None:
    assert field in fields(restated(truth, TRUTHS[field]), records)


def other_net(values: dict[str, Any]) -> None:
    values["task"]["space"]["fingerprint"] = "0" * 64


RECORDS: dict[str, Change] = {
    "data": lambda v: v["task"].update(dataset_hash="0" * 64),
    "splits.train": lambda v: v["task"]["splits"]["train"].update(hash="0" * 64),
    "splits.test": lambda v: v["task"]["splits"]["test"].update(hash="0" * 64),
    "decoder": lambda v: v["task"].update(
        decoder={"name": "pillow", "version": "9.1", "jpeg": "libjpeg-turbo 2.1"}
    ),
    "recipe": lambda v: v["science"]["optim"].update(lr=0.3),
    "nets.9.alone.0": other_net,
}


@pytest.mark.parametrize("field", RECORDS)
def test_a_net_alone_of_other_images_or_another_recipe_is_refused(
    field: str, truth: TruthRecord, records: list[Record]
) -> None:
    run = truth.nets[9].alone[0].run
    changed, others = with_record(truth, records, str(run), RECORDS[field])
    assert field in fields(changed, others)


def test_another_resolution_is_refused(truth: TruthRecord, records: list[Record]) -> None:
    run = truth.nets[1].alone[0].run
    changed, others = with_record(
        truth, records, str(run), lambda v: v["task"].update(resolutions=[16])
    )
    assert "at resolution [16], not at 8" in fields(changed, others)["nets.1.alone.0"]


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("splits.select", lambda v: v["task"]["splits"]["select"].update(hash="0" * 64)),
        ("augment", lambda v: v["science"]["augment"].update(kind="crop")),
        ("optim.norm_batch", lambda v: v["science"]["optim"].update(norm_batch=64)),
        ("precision", lambda v: v["science"].update(precision="bf16")),
    ],
)
def test_a_supernet_of_another_track_is_refused(
    field: str, change: Change, truth: TruthRecord, records: list[Record]
) -> None:
    changed, others = with_record(truth, records, truth.run, change)
    assert field in fields(changed, others)


def test_scores_of_candidates_are_those_of_the_supernets_record(
    truth: TruthRecord, records: list[Record]
) -> None:
    """A net that is among its candidates is scored once, by the same evaluator."""
    net = truth.nets[0]

    def known(values: dict[str, Any]) -> None:
        values["scores"][0]["subnet"] = net.subnet
        values["scores"][0]["top1_test"] = 100 * net.test / truth.images.test
        values["scores"][0]["top1_select"] = 100 * (net.select + 1) / truth.images.select

    changed, others = with_record(truth, records, truth.run, known)
    assert "nets.0.select" in fields(changed, others)
    assert "nets.0.test" not in fields(changed, others)


def test_tables_hold_truths_of_the_same_nets_alone(truth: TruthRecord) -> None:
    """Other images, another decoder or another training of the nets is another table, though
    nothing in its title differs."""
    committed = [record for _, record in truths(GROUND_TRUTH)[0]]
    (title,) = tracks(committed)
    images = restated(truth, lambda v: v.update(data="1" * 64))
    again = restated(truth, lambda v: v["nets"][0]["alone"][0].update(record="2" * 64))
    groups = tracks([*committed, images, again])
    known = f"{title}, images {truth.data[:8]}"
    assert set(groups) == {known, f"{title}, images 11111111", f"{known} (2)"}
    assert groups[f"{title}, images 11111111"] == [images]
    assert groups[f"{known} (2)"] == [again] and groups[known] == committed


def test_a_proxy_is_not_taken_for_a_supernet(truth: TruthRecord) -> None:
    """Its name is a word, and a word that is a supernet's row is marked."""
    values = truth_values(truth)
    nets, images, known = values["nets"], values["images"], values["proxies"]

    def renamed(name: str) -> dict[str, Any]:
        return analysed(nets, images, {**known, name: known["zico"]})

    for name in ("supernet", "supernet ", "", "a\nb", "\x1b[2J", "zic\u043e"):
        with pytest.raises(UsageError, match="a proxy is called"):
            renamed(name)
    forged = restated(truth, lambda v: v.update(renamed("compofa")))
    rows = dict(ranked([forged]))
    assert rows["compofa"] == forged.rankings[[r.name for r in forged.rankings].index("supernet")]
    assert rows["compofa (proxy)"].within == rows["zico"].within
