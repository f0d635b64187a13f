"""Nets trained alone beside supernets: once for all of them, wherever it was stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ofa_bench import api
from ofa_bench.cli.main import main
from ofa_bench.deploy.truth import pipeline
from ofa_bench.deploy.truth.nets import STRATA, sample
from ofa_bench.errors import BenchError, UsageError
from ofa_bench.evaluation.candidates import bounds
from ofa_bench.leaderboard.truth.recorded_runs import KnownRecords
from ofa_bench.leaderboard.truth.validate import validate_truth
from ofa_bench.records.schema import json_schema
from ofa_bench.records.store import Store
from ofa_bench.records.truths.schema import TruthRecord, truth_values
from ofa_bench.records.truths.store import read_truth, truth_path, truths
from ofa_bench.records.validation.validate import validate
from ofa_bench.runs.record_checks import record_checks
from ofa_bench.space import load_space
from tests.running import kill, started, until, words

TOY = {"dataset": "digits", "space": "toy", "epochs": 0.4, "device": "cpu"}
SMALL = ("evaluate.per_bucket=1", "evaluate.buckets=1", "evaluate.curve=0")
ASKED: dict[str, Any] = {"nets": 5, "seeds": 2, "epochs": 0.4}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("truth") / "results"


@pytest.fixture(scope="module")
def supernets(results: Path) -> list[str]:
    """Two of one track, one of which trains the coupled part of the space alone."""
    return [
        api.run(method=method, set=SMALL, results=results, **TOY).run.id
        for method in ("bignas", "compofa")
    ]


@pytest.fixture(scope="module")
def first(results: Path, supernets: list[str]) -> Any:
    (record,) = api.truth(supernets[0], results=results, **ASKED)
    return record


def files(results: Path) -> dict[str, int]:
    """The records of nets alone, each with the moment it was written."""
    paths = (results / "records").glob("*/standalone/*.json")
    return {path.name: path.stat().st_mtime_ns for path in paths}


@pytest.mark.parametrize("name", ["toy", "laptop-32"])
def test_nets_are_spread_over_macs(name: str) -> None:
    space = load_space(name)
    nets = sample(space, 10, 30)
    assert nets == sample(space, 10, 30) and len(set(nets)) == 30
    assert all(net in space for net in nets)
    macs = [space.macs(net, 10) for net in nets]
    assert macs == sorted(macs)
    for low, high in bounds(space, STRATA, 10):
        assert sum(low <= cost <= high for cost in macs) == 5
    assert set(sample(space, 10, 12)) < set(nets)


def test_a_small_space_gives_what_it_has() -> None:
    space = load_space("toy")
    assert set(sample(space, 10, space.count)) == set(space)
    with pytest.raises(UsageError, match="gives 216 of the 217 nets"):
        sample(space, 10, 217)


def test_each_net_alone_is_an_ordinary_record(first: Any, results: Path) -> None:
    """Its space holds that net, its candidates are that net, and all of it can be recomputed."""
    store = Store(results)
    for net in first.nets:
        for run in net.alone:
            entry = store.find(run.run)
            assert entry.record.sha256 == run.record and entry.record.seed == run.seed
            assert [score.macs for score in entry.record.scores] == [net.macs]
            assert entry.record.scores[0].top1_test == run.top1_test
            assert entry.record.method.composition == "largest+cosine+labels"
    assert validate(entry.path, record_checks()) == []
    assert len(files(results)) == ASKED["nets"] * ASKED["seeds"]


def test_images_and_augmentation_are_the_supernets(
    first: Any, supernets: list[str], results: Path
) -> None:
    names = (supernets[0], first.nets[0].alone[0].run)
    parent, net = (Store(results).find(name).record for name in names)
    assert net.task.splits == parent.task.splits
    assert net.task.calibration == parent.task.calibration
    assert net.science["augment"] == parent.science["augment"]
    assert net.science["optim"] == parent.science["optim"]


def test_the_supernets_scores_are_those_of_evaluate(
    first: Any, supernets: list[str], results: Path
) -> None:
    net = first.nets[2]
    (score,) = api.evaluate(supernets[0], [net.subnet], results=results)
    assert score.top1_test == pytest.approx(100 * net.test / first.images.test)
    assert score.top1_select == pytest.approx(100 * net.select / first.images.select)


def test_another_supernet_trains_nothing(first: Any, supernets: list[str], results: Path) -> None:
    before = files(results)
    records = api.truth(supernets, results=results, **ASKED)
    assert files(results) == before
    assert [record.run for record in records] == supernets
    assert [net.subnet for net in records[0].nets] == [net.subnet for net in records[1].nets]
    assert [net.alone for net in records[0].nets] == [net.alone for net in records[1].nets]
    assert all(net.trained for net in records[0].nets)
    assert not all(net.trained for net in records[1].nets)
    assert records[0].rankings == first.rankings
    names = {ranking.name for ranking in first.rankings}
    assert names == {"supernet", "supernet on select", "MACs", *first.proxies}
    assert {"synflow", "zico"} < set(first.proxies)
    assert records[0].proxies == records[1].proxies
    answer = api.search(supernets[1], macs="1G", evaluations=4, searcher="random", results=results)
    assert answer.evaluated > 0  # scores of nets outside what compofa trained are no hindrance


def test_nets_alone_stand_on_no_board(first: Any, results: Path, capsys: Any) -> None:
    assert main(["board", "--results", str(results), "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["method"] for row in rows} <= {"bignas", "compofa"}
    assert main(["board", "--check", "--results", str(results)]) == 0


def test_what_is_kept_holds(first: Any, results: Path, capsys: Any) -> None:
    """`validate` recomputes all numbers, and names what was changed."""
    path = truth_path(results, first)
    known = KnownRecords.of([entry.record for entry in Store(results).list()])
    assert read_truth(path) == first
    assert validate_truth(path, known=known) == []
    assert main(["validate", str(results)]) == 0
    assert "truths hold" in capsys.readouterr().out
    changes = {
        "nets.0.alone.0.top1_test": lambda v: v["nets"][0]["alone"][0].update(top1_test=1.0),
        "nets.0.macs": lambda v: v["nets"][0].update(macs=1),
        "rankings.0.within.value": lambda v: v["rankings"][0]["within"].update(value=0.99),
        "sha256": lambda v: v.update(method="other"),
        "nets.1.test": lambda v: v["nets"][1].update(test=10_000),
    }
    for field, change in changes.items():
        values = truth_values(first)
        change(values)
        other = path.with_name("changed.json")
        other.write_text(json.dumps(values))
        findings = [finding.field for finding in validate_truth(other, known=known)]
        other.unlink()
        assert field in findings


def test_the_published_schema_is_current() -> None:
    path = Path(pipeline.__file__).parents[2] / "records" / "truths" / "schema.json"
    assert path.read_text() == json_schema(TruthRecord)


def test_a_net_that_fails_is_shown_and_left_out(
    supernets: list[str], results: Path, first: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    failing = first.nets[1].alone[1].run
    original = pipeline.run_all

    def run_all(runs: Any, store: Any, watch: Any) -> Any:
        def run(asked: Any, watch: Any, **options: Any) -> Any:
            record = api.run_request(asked, watch, **options)
            if record.run.id == failing:
                raise BenchError("the machine burns")
            return record

        return original(runs, store, watch, run=run)

    monkeypatch.setattr(pipeline, "run_all", run_all)
    monkeypatch.setattr(pipeline, "write_truth", lambda results, record: None)
    (record,) = api.truth(supernets[0], results=results, **ASKED)
    (net,) = [net for net in record.nets if any(run.status != "ok" for run in net.alone)]
    assert net.name == first.nets[1].name and net.alone[1].top1_test is None
    assert record.left_out == 1
    from ofa_bench.leaderboard.truth.columns import caveats

    assert f"failed and left out of every number: 1 of 5 nets ({net.name})" in caveats([record])


def test_the_command(supernets: list[str], results: Path, first: Any, capsys: Any) -> None:
    line = ["truth", *supernets, "--nets", "5", "--seeds", "2", "--epochs", "0.4"]
    line += ["--results", str(results)]
    before = files(results)
    assert main(line) == 0
    text, told = capsys.readouterr()
    assert "5 nets alone with 2 seeds: 10 runs" in told
    assert "one seed by another" in text and "MACs" in text
    assert "compofa never trained" in text
    assert files(results) == before


def test_what_is_kept_is_shown_again(
    supernets: list[str], results: Path, first: Any, capsys: Any, tmp_path: Path
) -> None:
    """On the board as table, Markdown and JSON, and in the report with a plot of every net."""
    where = ["--results", str(results)]
    assert main(["board", "digits", "--truth", *where]) == 0
    out = capsys.readouterr().out
    assert "5 nets alone" in out and "bignas, on select" in out
    assert main(["board", "digits-toy", "--truth", "--format", "md", *where]) == 0
    assert "| τ within ranges (95 %) |" in capsys.readouterr().out
    assert main(["board", "--truth", "--json", *where]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(supernets) <= {truth["run"] for truth in answer["truths"]}
    assert answer["unranked"] == []
    assert main(["board", "cifar10", "--truth", *where]) == 0
    assert "no ground truth of 'cifar10' is kept" in capsys.readouterr().out
    assert main(["board", "--truth", "--buckets", *where]) == 2
    page = tmp_path / "page.html"
    assert main(["report", "-o", str(page), *where]) == 0
    text = page.read_text()
    assert "Ground truth: digits · toy · 5 nets alone" in text
    (chart,) = [
        json.loads(part.partition("</script>")[0]) for part in text.split('truth0-truth-data">')[1:]
    ]
    assert len(chart["data"][0]["x"]) == len(chart["data"][0]["low"])


def test_what_does_not_hold_is_not_shown(results: Path, first: Any, capsys: Any) -> None:
    path = truth_path(results, first)
    text = path.read_text()
    path.write_text(text.replace('"method": "bignas"', '"method": "spos"'))
    try:
        assert main(["board", "--truth", "--results", str(results)]) == 0
        out = capsys.readouterr().out
        assert "not shown:" in out and "was changed after it was written" in out
        assert "spos" not in out
    finally:
        path.write_text(text)


def test_a_track_and_a_comparison_name_their_runs(
    supernets: list[str], results: Path, first: Any, capsys: Any, tmp_path: Path
) -> None:
    file = tmp_path / "two.toml"
    file.write_text(
        'methods = ["bignas", "compofa"]\nseeds = 1\ndataset = "digits"\nspace = "toy"\n'
        f"epochs = 0.4\nset = {json.dumps(list(SMALL))}\n"
    )
    for name in ("digits-toy", str(file)):
        line = ["truth", name, "--nets", "5", "--seeds", "1", "--epochs", "0.4", "--json"]
        assert main([*line, "--results", str(results)]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert {truth["run"] for truth in answer["truths"]} == set(supernets)
        values = [row["within"]["value"] for row in answer["rows"]]
        assert values == sorted(values, reverse=True)
    assert main(["truth", "cifar10", "--results", str(results)]) == 2
    file.write_text('methods = ["spos"]\nseeds = 1\nspace = "toy"\n')
    assert main(["truth", str(file), "--results", str(results)]) == 2
    assert "no run of " in capsys.readouterr().err


def test_other_tracks_are_refused(supernets: list[str], results: Path) -> None:
    other = api.run(method="deps", results=results, set=(*SMALL, "data.select=200"), **TOY)
    with pytest.raises(UsageError, match="has other images than"):
        api.truth([supernets[0], other.run.id], results=results, **ASKED)
    wide = {**TOY, "space": "laptop-8", "epochs": 0.05}
    wide_run = api.run(method="deps", results=results, set=SMALL, **wide)
    with pytest.raises(UsageError, match="has another space than"):
        api.truth([supernets[0], wide_run.run.id], results=results, **ASKED)
    with pytest.raises(UsageError, match="nets"):
        api.truth(supernets[0], results=results, nets=3)
    with pytest.raises(UsageError, match=r"no begun run .* no track of its records is called so"):
        api.truth("nothing", results=results)


def test_killed_it_goes_on(supernets: list[str], results: Path, tmp_path: Path) -> None:
    """After SIGKILL in the middle of a net the same line goes on: what was recorded stays as it
    was, and the net that was begun is finished from its checkpoint."""
    line = ["truth", supernets[0], "--nets", "4", "--seeds", "1", "--epochs", "2"]
    line += ["--results", results]
    kept = files(results)
    runs = results / "runs"

    def begun() -> list[Path]:
        folders = runs.glob("standalone-*/checkpoint/*.pt")
        return [path.parent.parent for path in folders]

    with started(words(*line), env={"OFA_BENCH_LIMITS": ""}) as process:
        until(lambda: files(results).keys() - kept and begun(), "a net in the middle")
        kill(process.pid)
        process.wait()
    recorded = files(results)
    assert main([*map(str, line)]) == 0
    after = files(results)
    assert {name: after[name] for name in recorded} == recorded
    assert len(after) == len(kept) + 4
    (record,) = [
        record for _, record in truths(results)[0] if len(record.nets) == 4 and record.seeds == (0,)
    ]
    assert all(run.status == "ok" for net in record.nets for run in net.alone)
