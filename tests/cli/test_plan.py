"""`plan` against what the papers' schedules are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Bench


@pytest.fixture
def imagenet(bench: Bench) -> dict[str, Any]:
    words = ("plan", "--method", "deps", "--dataset", "imagenet", "--set", "data.select=0")
    found: dict[str, Any] = bench(*words, "--json").json
    return found


def edge(found: dict[str, Any], what: str) -> dict[str, Any]:
    (row,) = [row for row in found["edges"] if row["what"] == what]
    return row


def test_steps_an_epoch(imagenet: dict[str, Any], bench: Bench) -> None:
    assert imagenet["steps_per_epoch"] == 626
    held_out = bench("plan", "--method", "deps", "--dataset", "imagenet", "--json").json
    assert held_out["steps_per_epoch"] == 621
    assert held_out["images"]["select"] == 10_000


def test_shrinking_begins_at_epoch_145(imagenet: dict[str, Any]) -> None:
    warm, joint = imagenet["phases"]
    assert (warm["first_epoch"], joint["first_epoch"]) == (0, 145)
    assert joint["first_step"] == 145 * 626
    assert imagenet["epochs"] == 270 and imagenet["paper_times"] == 1


def test_share_at_the_ends_of_the_ramp(imagenet: dict[str, Any]) -> None:
    joint = imagenet["phases"][1]
    assert joint["share_first"] == pytest.approx(2.945e-4, rel=2e-4)
    last = edge(imagenet, "ramp's last step")
    assert last["step"] == 150 * 626 - 1
    assert last["share"] == pytest.approx(0.98613, rel=1e-5)
    assert edge(imagenet, "ramp is over")["share"] == joint["share_last"] == 1


def test_rate_of_the_largest_net(imagenet: dict[str, Any]) -> None:
    joint = imagenet["phases"][1]
    assert joint["lr_first"] == pytest.approx(1.1491, abs=5e-5)
    over = edge(imagenet, "ramp is over")
    assert over["epoch"] == 150 and over["lr"] == pytest.approx(1.0743, abs=5e-5)
    assert over["shares"]["largest"] == 1


def test_the_table_shows_them_too(bench: Bench) -> None:
    words = ("plan", "--method", "deps", "--dataset", "imagenet", "--set", "data.select=0")
    out = bench(*words).out
    for number in ("626", "145", "0.0002945", "0.98613", "1.1491", "1.0743", "paper×1"):
        assert number in out.replace(",", "")


@pytest.mark.parametrize(
    ("space", "epochs", "phases"),
    [
        (
            "mobilenetv3-ofa",
            605,
            {
                "largest": 180,
                "kernel": 125,
                "depth-1": 25,
                "depth-2": 125,
                "expand-1": 25,
                "expand-2": 125,
            },
        ),
        (
            "mobilenetv3",
            480,
            {"largest": 180, "depth-1": 25, "depth-2": 125, "expand-1": 25, "expand-2": 125},
        ),
    ],
)
def test_progressive_phases(bench: Bench, space: str, epochs: int, phases: dict[str, int]) -> None:
    words = ("plan", "--method", "ofa", "--dataset", "imagenet", "--space", space, "--json")
    found = bench(*words).json
    assert found["epochs"] == pytest.approx(epochs)
    told = {phase["name"]: round(phase["epochs"], 6) for phase in found["phases"]}
    assert told == phases


def test_costs_add_up(imagenet: dict[str, Any]) -> None:
    total = sum(sum(phase["macs"].values()) for phase in imagenet["phases"])
    assert imagenet["macs"] == pytest.approx(total)
    assert sum(phase["steps"] for phase in imagenet["phases"]) == imagenet["steps"] == 270 * 626
    assert set(imagenet["phases"][1]["passes"]) == {"largest", "smallest", "sampled"}


def test_draws_of_a_step_repeat(bench: Bench) -> None:
    words = ("plan", "--method", "bignas", "--space", "toy", "--json")
    first = bench(*words, "--steps", "3,40").json["draws"]
    (alone,) = bench(*words, "--steps", "40").json["draws"]
    assert [row["step"] for row in first] == [3, 40]
    assert first[1] == alone
    assert [draw["role"] for draw in alone["draws"]][:2] == ["largest", "smallest"]


def test_a_step_after_the_end_is_refused(bench: Bench) -> None:
    done = bench("plan", "--epochs", "1", "--space", "toy", "--steps", "19")
    assert done.code == 2 and "0 to 18" in done.err


def test_budgets_print_how_far_they_are_from_the_paper(bench: Bench) -> None:
    assert "paper×0.5" in bench("plan", "--dataset", "cifar10", "--scale", "0.5").out
    matched = bench("plan", "--budget", "matched", "--epochs", "2", "--json").json
    assert matched["budget"]["rule"] == "matched"
    assert bench("plan", "--budget", "matched", "--epochs", "2", "--scale", "3").code == 2


def test_matched_budgets_cost_the_same(bench: Bench) -> None:
    words = ("plan", "--budget", "matched", "--epochs", "40", "--json")
    macs = [bench(*words, "--method", name).json["macs"] for name in ("ofa", "deps", "bignas")]
    assert max(macs) / min(macs) < 1.005


def test_a_speed_is_measured_and_kept(bench: Bench, tmp_path: Path) -> None:
    words = ("plan", "--space", "toy", "--epochs", "2", "--results", str(tmp_path))
    assert bench(*words, "--json").json["predicted"]["device_seconds"] is None
    measured = bench(*words, "--calibrate", "--json").json["predicted"]
    assert measured["device_seconds"] > 0 and measured["input_images_per_second"] > 0
    assert bench(*words, "--json").json["predicted"] == measured
    kept = tmp_path / "runs" / "calibrated.json"
    place = next(iter(json.loads(kept.read_text())))
    for macs in ("{", '"many"', "0", "NaN", "-1"):
        text = (
            macs if macs == "{" else f'{{"{place}": {{"model": "", "macs": {macs}, "records": 0}}}}'
        )
        kept.write_text(text)
        assert bench(*words, "--json").json["predicted"]["device_seconds"] is None


def test_a_step_on_several_devices(bench: Bench, tmp_path: Path) -> None:
    words = ("plan", "--space", "toy", "--epochs", "2", "--results", str(tmp_path))
    assert "--calibrate" in bench(*words, "--devices", "4").out
    one = bench(*words, "--calibrate", "--devices", "1", "--json").json["predicted"]["scaling"]
    two = bench(*words, "--devices", "2", "--json").json["predicted"]["scaling"]
    more = bench(*words, "--devices", "8", "--json").json["predicted"]["scaling"]
    assert all(row["efficiency"] == 1 and row["all_reduce_seconds"] == 0 for row in one)
    assert two[0]["compute_seconds"] == pytest.approx(one[0]["compute_seconds"] / 2)
    assert more[0]["compute_seconds"] == two[0]["compute_seconds"]  # a step has two micro-batches
    assert more[0]["all_reduce_seconds"] == pytest.approx(1.75 * two[0]["all_reduce_seconds"])
