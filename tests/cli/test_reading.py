"""Commands that read what is there: runs, show, board, list, space, data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ofa_bench.records.schema import Record
from ofa_bench.records.store import Store
from ofa_bench.space import load_space
from tests.cli.conftest import Bench
from tests.records.factory import failed, make


@pytest.fixture
def stored(results: Path) -> list[Record]:
    store, records = Store(results), []
    for method, base in (("alpha", 80.0), ("beta", 60.0)):
        record, bits = make(method, 0, base)
        store.write(record, bits)
        records.append(record)
    lost = failed("gamma")
    store.write(lost)
    return [*records, lost]


def begin(results: Path, name: str) -> None:
    folder = results / "runs" / name
    folder.mkdir(parents=True)
    told = {
        "science": {"method": "delta", "dataset": "digits", "space": "toy"},
        "seed": 3,
        "started": "2026-01-02T03:04:05+00:00",
    }
    (folder / "run.json").write_text(json.dumps(told))


def test_runs_lists_finished_failed_and_begun(
    bench: Bench, results: Path, stored: list[Record]
) -> None:
    begin(results, "delta-digits-toy-s3-0123456789")
    found = bench("runs", "--results", results, "--json").json["runs"]
    assert [run["status"] for run in found] == ["ok", "ok", "diverged", "begun"]
    assert found[0]["run"] == stored[0].run.id
    table = bench("runs", "--results", results).out
    assert all(run["run"] in table for run in found)


@pytest.mark.parametrize(
    ("filters", "methods"),
    [
        (["method=beta"], ["beta"]),
        (["seed=0", "status=ok"], ["alpha", "beta"]),
        (["seed=3"], ["delta"]),
        (["method=omega"], []),
    ],
)
def test_runs_can_be_filtered(
    bench: Bench, results: Path, stored: list[Record], filters: list[str], methods: list[str]
) -> None:
    begin(results, "delta-digits-toy-s3-0123456789")
    words = [word for text in filters for word in ("--filter", text)]
    found = bench("runs", "--results", results, "--json", *words).json["runs"]
    assert [run["method"] for run in found] == methods


def test_a_filter_without_a_value_is_refused(bench: Bench, results: Path) -> None:
    done = bench("runs", "--results", results, "--filter", "method")
    assert done.code == 2 and "key=value" in done.err


def test_an_unreadable_record_is_told_and_the_rest_listed(
    bench: Bench, results: Path, stored: list[Record]
) -> None:
    broken = results / "records" / "digits" / "alpha" / "broken.json"
    broken.write_text("{")
    done = bench("runs", "--results", results, "--json")
    assert done.code == 0 and len(done.json["runs"]) == 3
    assert str(broken) in done.err


def test_show_gives_the_whole_record(bench: Bench, results: Path, stored: list[Record]) -> None:
    name = stored[0].run.id
    done = bench("show", name[:8], "--results", results, "--json")
    assert done.json["sha256"] == stored[0].sha256
    table = bench("show", name, "--results", results).out
    assert name in table and f"{stored[0].summary.largest_top1:.2f}" in table  # type: ignore[union-attr]


def test_show_of_a_begun_run_names_the_line_that_goes_on(bench: Bench, results: Path) -> None:
    begin(results, "delta-digits-toy-s3-0123456789")
    done = bench("show", "delta", "--results", results)
    assert done.code == 0
    assert "ofa-bench resume delta-digits-toy-s3-0123456789" in done.err


@pytest.mark.parametrize("words", [(), ("x", "--card", "deps")])
def test_show_wants_one_thing(bench: Bench, words: tuple[str, ...]) -> None:
    assert bench("show", *words).code == 2


def test_show_of_nothing_says_where_it_looked(bench: Bench, results: Path) -> None:
    done = bench("show", "nothing", "--results", results)
    assert done.code == 2 and str(results) in done.err


@pytest.mark.parametrize("method", ["ofa", "compofa", "bignas", "bignas-port", "deps", "fairnas"])
def test_cards_are_the_plugins_readmes(bench: Bench, method: str) -> None:
    found = bench("show", "--card", method, "--json").json
    assert found["card"] == Path(found["path"]).read_text(encoding="utf-8")
    assert bench("show", "--card", method).out.strip() == found["card"].strip()


def test_board_ranks_and_marks_what_failed(
    bench: Bench, results: Path, stored: list[Record]
) -> None:
    rows = bench("board", "--results", results, "--format", "json").json["rows"]
    assert [(row["method"], row["n"]) for row in rows] == [("alpha", 1), ("beta", 1), ("gamma", 1)]
    assert rows[0]["mean_pareto_accuracy"]["mean"] > rows[1]["mean_pareto_accuracy"]["mean"]
    assert rows[0]["mean_pareto_accuracy"]["low"] is None
    assert rows[0]["cost"]["train_macs"] == stored[0].cost.train_macs
    assert rows[2]["failed"][0]["status"] == "diverged"
    table = bench("board", "digits", "--results", results).out
    assert "diverged" in table and "–" in table


def test_board_of_an_unknown_track_lists_what_there_is(
    bench: Bench, results: Path, stored: list[Record]
) -> None:
    done = bench("board", "digit", "--results", results)
    assert done.code == 0 and "digits-toy" in done.out  # the beginning of a track's name
    assert bench("board", "mnist", "--results", results).code == 2


def test_boards_are_kept_and_checked(bench: Bench, results: Path, stored: list[Record]) -> None:
    assert bench("board", "--results", results, "--check").code == 1
    assert not (results / "boards").exists()
    assert bench("board", "--results", results).code == 0
    kept = sorted(path.suffix for path in (results / "boards").iterdir())
    assert kept == [".json", ".md"]
    assert bench("board", "--results", results, "--check", "--json").json["ok"] is True
    page = next((results / "boards").glob("*.md"))
    assert bench("board", "--results", results, "--format", "md").out == page.read_text()
    page.write_text(page.read_text().replace("alpha", "omega"))
    done = bench("board", "--results", results, "--check")
    assert done.code == 1 and page.name in done.out


def test_a_board_shows_though_it_cannot_be_kept(
    bench: Bench, results: Path, stored: list[Record]
) -> None:
    (results / "boards").write_text("a file in the way")
    done = bench("board", "--results", results, "--json")
    assert done.code == 0 and len(done.json["rows"]) == 3
    assert "not written anew" in done.err


def test_without_records_there_is_an_empty_board(bench: Bench, results: Path) -> None:
    assert bench("board", "--results", results, "--json").json == {"rows": [], "tracks": []}


def test_list_knows_what_the_interface_promises(bench: Bench) -> None:
    found = bench("list", "--json").json
    names = {kind: {row["name"] for row in rows} for kind, rows in found.items()}
    assert names["methods"] >= {"ofa", "compofa", "bignas", "bignas-port", "deps"}
    assert names["shrink"] >= {"largest", "uniform", "progressive", "sandwich", "coupled"}
    assert names["lr"] >= {"constant", "cosine", "step", "exponential", "ramped"}
    assert names["distill"] >= {"labels", "frozen", "inplace"}
    assert names["datasets"] >= {"digits", "cifar10", "cifar100", "imagenet100", "imagenet"}
    assert {row["status"] for row in found["plugins"]} == {"loaded"}


def test_list_of_one_kind(bench: Bench) -> None:
    assert list(bench("list", "spaces", "--json").json) == ["spaces"]
    assert "21924480357" in bench("list", "spaces").out


def test_space_macs_are_the_spaces(bench: Bench) -> None:
    space = load_space("toy")
    net = space.subnet("k3e2d1")
    words = ("space", "macs", "toy", "--classes", "10", "--json", "--subnet")
    told = {"macs": space.macs(net, 10), "params": space.params(net, 10)}
    assert bench(*words, "k3e2d1").json == told
    assert bench(*words, json.dumps(net.to_json())).json == told


def test_space_macs_of_a_published_net(bench: Bench) -> None:
    """MobileNetV3's largest net at 224: 566 M MACs."""
    found = bench("space", "macs", "mobilenetv3", "--subnet", "largest", "--json").json
    assert round(found["macs"] / 1e6) == 566


@pytest.mark.parametrize(
    "subnet", ['{"depth": [9, 1, 1]}', "k9e2d1", '{"depht": [1]}', '{"depth": ', "[" * 5000]
)
def test_subnets_outside_the_space_are_refused(bench: Bench, subnet: str) -> None:
    done = bench("space", "macs", "toy", "--subnet", subnet)
    assert done.code == 2 and done.out == ""
    assert "Traceback" not in done.err and "bug" not in done.err


def test_space_show_tells_the_stages(bench: Bench) -> None:
    found = bench("space", "show", "toy", "--json").json
    assert found["architectures"] == 216
    assert [stage["depth"] for stage in found["stages"]] == [[1, 2]] * 3
    assert bench("space", "show", "toy").out.count("\n") > 8


def test_data_check_of_the_embedded_set(bench: Bench) -> None:
    done = bench("data", "check", "digits", "--json")
    assert done.code == 0 and done.json["ok"] is True
    assert done.json["images"] == {"train": 1437, "test": 360}


def test_data_that_is_absent_says_where_it_looked(bench: Bench, tmp_path: Path) -> None:
    done = bench("data", "check", "cifar10", "--data-dir", tmp_path)
    assert done.code == 2
    assert str(tmp_path) in done.err and "cifar-10-batches-py" in done.err


def test_data_prepare_links_the_classes(bench: Bench, tmp_path: Path) -> None:
    from ofa_bench.data.discovery.datasets import load_spec

    for part in ("train", "val"):
        for name in load_spec("imagenet100").usual_classes:
            (tmp_path / "imagenet" / part / name).mkdir(parents=True)
    words = ("data", "prepare", "imagenet100", "--from", tmp_path / "imagenet", "--json", "--to")
    assert bench(*words, tmp_path / "out").json["links"] == 200
    assert bench(*words, tmp_path / "out").json["links"] == 0
    assert bench("data", "prepare", "cifar10", "--from", "a", "--to", "b").code == 2
