"""Searches of a trained toy run: the answer, what is kept, and what goes wrong in a sentence."""

from __future__ import annotations

import errno
import json
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ofa_bench import api
from ofa_bench.cli.main import main
from ofa_bench.deploy.searching import answer as answering
from ofa_bench.errors import BenchError, PluginError, ResumeError, UsageError
from ofa_bench.evaluation import score as scoring
from ofa_bench.hooks.catalogue import Entry, Origin, discover
from ofa_bench.records.per_image import wilson
from ofa_bench.records.schema import json_schema
from ofa_bench.records.searches.schema import (
    SearchRecord,
    question_hash,
    sealed_search,
    search_values,
)
from ofa_bench.records.searches.store import read_search, search_text
from ofa_bench.records.searches.validate import validate_search
from ofa_bench.runs.finished import finished_run
from ofa_bench.search.budget import CostBudget, amount, budget, named, spelled_amount
from ofa_bench.search.latency_table import LatencyTable, to_toml
from ofa_bench.space import Space, Subnet, load_space
from tests.running import ended, started, until, words

COMMITTED = Path(__file__).resolve().parents[2] / "results" / "toy"
CLASSES = 10
Scores = dict[Subnet, tuple[float, float]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the results folder of the finished toy run that is committed."""
    results = tmp_path_factory.mktemp("searched") / "results"
    shutil.copytree(COMMITTED, results, ignore=shutil.ignore_patterns("searches"))
    return results


@pytest.fixture(scope="module")
def space() -> Space:
    return load_space("toy")


@pytest.fixture(scope="module")
def brute_force(trained: Path, space: Space) -> Scores:
    """Select and test accuracy of every net, by `evaluate`."""
    nets = list(space)
    scores = api.evaluate("deps", [net.to_json() for net in nets], results=trained)
    return {
        net: (score.top1_select, score.top1_test) for net, score in zip(nets, scores, strict=True)
    }


@pytest.fixture(scope="module")
def whole(trained: Path) -> SearchRecord:
    """A search that has scored the whole space."""
    return api.search("deps", macs="130k", results=trained)


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    """The finished run alone, in a folder of its own."""
    shutil.copytree(trained, tmp_path / "copy", ignore=shutil.ignore_patterns("searches"))
    return tmp_path / "copy"


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Subnet]]:
    """The (split, subnet) pairs that were scored by the network from now on."""
    pairs: list[tuple[str, Subnet]] = []
    real = scoring.score

    def counting(net: Any, subnets: Any, source: Any, **values: Any) -> Any:
        pairs.extend((split, subnet) for split in values["splits"] for subnet in subnets)
        return real(net, subnets, source, **values)

    monkeypatch.setattr(scoring, "score", counting)
    return pairs


def file_of(record: SearchRecord, results: Path) -> Path:
    return api.search_file(record, "deps", results)


def best_under(scores: Scores, space: Space, most: int) -> Subnet:
    """By select accuracy; equals by fewer MACs, then by their JSON."""
    inside = [net for net in scores if space.macs(net, CLASSES) <= most]
    return min(
        inside,
        key=lambda net: (
            -scores[net][0],
            space.macs(net, CLASSES),
            json.dumps(net.to_json(), sort_keys=True),
        ),
    )


def test_25_budgets_are_answered_as_by_brute_force(
    trained: Path, space: Space, brute_force: Scores, whole: SearchRecord, scored: Any
) -> None:
    rng = random.Random(25)
    least = min(space.macs(net, CLASSES) for net in space)
    most = space.macs(space.largest, CLASSES)
    for _ in range(25):
        value = rng.randint(least, most + 1000)
        record = api.search("deps", macs=value, results=trained)
        expected = best_under(brute_force, space, value)
        assert space.subnet(record.best.subnet) == expected
        assert (record.best.top1_select, record.best.top1_test) == brute_force[expected]
        assert record.exhaustive and record.evaluated == 216 and record.predictor is None
    assert {split for split, _ in scored} == {"test"}
    assert len(set(scored)) == len(scored), "a winner is scored on test once"


def test_the_same_search_twice_scores_nothing(
    trained: Path, whole: SearchRecord, scored: list[Any]
) -> None:
    again = api.search("deps", macs=130_000, results=trained)
    assert again == whole and scored == []


def test_the_json_is_the_contract(
    trained: Path, whole: SearchRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["search", "deps", "--macs", "130k", "--results", str(trained)]
    assert main([*line, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["space"] == "toy" and document["evaluated"] == 216
    assert (document["budget"]["kind"], document["budget"]["value"]) == ("macs", 130_000)
    assert {"subnet", "macs", "params", "top1_select", "top1_test"} <= document["best"].keys()
    assert len(document["top"]) == 8 and document["top"][0] == document["best"]
    assert set(document["baselines"]) == {"random", "macs_alone"}
    assert document["predictor"] is None
    assert main(line) == 0
    shown = capsys.readouterr().out
    assert whole.best.name in shown and "all 216 subnets" in shown and "best@130k" in shown


def test_a_searcher_and_its_baseline_get_equal_evaluations(
    copy: Path, trained: Path, whole: SearchRecord, space: Space
) -> None:
    record = api.search("deps", macs="140k", evaluations=40, results=copy)
    trials = record.trials
    assert len(trials.searcher) == len(trials.random) == 40 and not record.exhaustive
    assert record.baselines.random is not None and record.baselines.macs_alone is not None
    inside = [net for net in space if space.macs(net, CLASSES) <= 140_000]
    assert record.baselines.macs_alone.macs == max(space.macs(net, CLASSES) for net in inside)
    assert record.predictor is not None and record.predictor.ceiling is not None
    assert validate_search(file_of(record, copy)) == []
    known = api.search("deps", macs="140k", evaluations=40, results=trained)
    timeless = {"finished": "", "sha256": ""}
    assert record.model_copy(update=timeless) == known.model_copy(update=timeless), (
        "what is on disk already changes no answer"
    )


def test_a_front_has_the_best_net_of_every_budget(
    trained: Path, space: Space, brute_force: Scores, whole: SearchRecord
) -> None:
    record = api.search("deps", front=True, results=trained)
    assert len(record.front) == 16
    for point in record.front:
        expected = best_under(brute_force, space, int(point.budget))
        assert space.subnet(point.subnet) == expected and point.top1_test is not None
    assert validate_search(file_of(record, trained)) == []


def test_an_interrupted_search_goes_on(
    copy: Path, whole: SearchRecord, scored: list[tuple[str, Subnet]]
) -> None:
    line = words("search", "deps", "--macs", "130k", "--results", copy)
    with started(line) as process:
        until(lambda: list(copy.glob("searches/*/scores/*.json")) or ended(process), "scores")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 130 and "same command" in err, err
    assert not list(copy.glob("searches/*/*.json"))
    (kept,) = copy.glob("searches/*/scores/*.json")
    held = len(json.loads(kept.read_text())["select"])
    assert 0 < held < 216
    record = api.search("deps", macs="130k", results=copy)
    assert [split for split, _ in scored].count("select") == 216 - held
    timeless = {"finished": "", "sha256": ""}
    assert record.model_copy(update=timeless) == whole.model_copy(update=timeless)


def test_a_full_disk_is_a_sentence(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    line = ["search", "deps", "--macs", "130k", "--evaluations", "4", "--results", str(copy)]
    assert main(line) == 1
    err = capsys.readouterr().err
    assert "No space left" in err and "fix:" in err and "Traceback" not in err
    left = [path.suffix for path in (copy / "searches").rglob("*") if path.is_file()]
    assert left == [".lock"]


def test_an_infeasible_budget_is_refused_without_torch(trained: Path) -> None:
    line = ["search", "deps", "--macs", "10k", "--results", str(trained)]
    code = (
        "import sys; from ofa_bench.cli.main import main; "
        f"code = main({line!r}); assert 'torch' not in sys.modules; sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 2 and "nearest attainable: 60,608 MACs" in done.stderr


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"macs": "3M", "params": "1M"},
        {"macs": "3M", "front": True},
        {"macs": ""},
        {"macs": "3X"},
        {"macs": "-3M"},
        {"macs": 0},
        {"macs": float("nan")},
        {"macs": True},
        {"macs": "2ms"},
        {"macs": "9" * 40},
        {"params": "1.2.3M"},
        {"latency": "2ms"},
        {"macs": "3M", "table": "there-is-none.toml"},
        {"latency": "2ms", "table": "there-is-none.toml"},
        {"macs": "150k", "top": 0},
        {"macs": "150k", "evaluations": 0},
        {"macs": "150k", "searcher": "oracle"},
    ],
    ids=str,
)
def test_what_cannot_be_searched_is_said(trained: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        api.search("deps", results=trained, **options)
    assert caught.value.message and caught.value.hint


def test_runs_that_cannot_be_searched(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="no begun run"):
        api.search("nobody", macs="150k", results=copy)
    next(copy.glob("runs/*/weights.safetensors")).unlink()
    with pytest.raises(ResumeError, match="is not finished") as caught:
        api.search("deps", macs="150k", results=copy)
    assert "ofa-bench resume" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("3M", "macs", 3_000_000),
        ("1.5G", "macs", 1_500_000_000),
        (" 0.1 M ", "macs", 100_000),
        ("3e6", "macs", 3_000_000),
        ("2MMACs", "macs", 2_000_000),
        (130000, "macs", 130_000),
        ("900k", "params", 900_000),
        ("2ms", "latency", 2.0),
        ("1.5", "latency", 1.5),
        ("500us", "latency", 0.5),
        ("0.002s", "latency", 2.0),
    ],
)
def test_budgets_are_read(text: Any, kind: str, value: float) -> None:
    assert amount(text, kind) == value
    if kind != "latency":
        assert budget(**{kind: text}) == CostBudget(kind, value)


@pytest.mark.parametrize("value", [0.1, 1.1, 3e6, 1 / 3, 2.0, 1e16])
def test_an_amount_is_read_back_as_it_is_spelled(value: float) -> None:
    assert amount(f"{spelled_amount(value)}ms", "latency") == value
    assert len(spelled_amount(0.1)) == 3


def test_names_of_budgets() -> None:
    assert named("3M") == CostBudget("macs", 3_000_000)
    assert named("2ms") == CostBudget("latency", 2.0)
    assert named("1Mparams") == CostBudget("params", 1_000_000)
    with pytest.raises(UsageError):
        named("much")


def test_the_answer_has_a_name(trained: Path, space: Space, whole: SearchRecord) -> None:
    run = finished_run("deps", trained)
    assert run.subnet("best@130k") == space.subnet(whole.best.subnet)
    (score,) = api.evaluate("deps", ["best@0.13M"], results=trained)
    assert (score.top1_select, score.top1_test) == (whole.best.top1_select, whole.best.top1_test)
    with pytest.raises(UsageError, match="no search of deps") as caught:
        run.subnet("best@131k")
    assert "ofa-bench search deps" in caught.value.hint and "--macs 131000" in caught.value.hint


def test_the_newest_search_is_named(copy: Path, space: Space) -> None:
    first = api.search("deps", macs="130k", evaluations=4, results=copy)
    second = api.search("deps", macs="130k", evaluations=8, results=copy)
    assert second.finished > first.finished
    assert finished_run("deps", copy).subnet("best@130k") == space.subnet(second.best.subnet)


def test_the_published_schema_is_current() -> None:
    path = Path(str(sys.modules[SearchRecord.__module__].__file__)).with_name("schema.json")
    assert path.read_text() == json_schema(SearchRecord)


def test_a_search_is_validated_with_its_results(
    trained: Path, whole: SearchRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", str(trained)]) == 0
    assert "records and searches hold" in capsys.readouterr().out
    assert main(["board", "digits", "--results", str(trained)]) == 0
    assert main(["runs", "--results", str(trained)]) == 0
    assert "error" not in capsys.readouterr().err


Edit = Callable[[dict[str, Any]], object]


def _swap_best(values: dict[str, Any]) -> None:
    values["best"] = {**values["best"], **values["top"][1]}


TAMPERED: list[tuple[str, Edit]] = [
    ("best", _swap_best),
    ("best.macs", lambda values: values["best"].update(macs=1)),
    ("best.top1_select", lambda values: values["best"].update(top1_select=100.0)),
    ("best.test_low", lambda values: values["best"].update(test_low=0.0)),
    ("top", lambda values: values.update(top=values["top"][1:])),
    ("scored", lambda values: values["scored"].pop()),
    ("exhaustive", lambda values: values.update(exhaustive=False)),
    ("question", lambda values: values["budget"].update(value=1e6)),
    ("baselines.macs_alone", lambda values: values["baselines"].update(macs_alone=None)),
    ("scored.3", lambda values: values["scored"][3].update(subnet={"kernel": [9]})),
    ("scored.3", lambda values: values["scored"][3].update(select=10**6)),
    ("searched", lambda values: values.update(space="../../etc")),
]


@pytest.mark.parametrize(("field", "edit"), TAMPERED, ids=[name for name, _ in TAMPERED])
def test_tampering_is_found(field: str, edit: Edit, whole: SearchRecord, tmp_path: Path) -> None:
    values = json.loads(search_text(whole))
    edit(values)
    path = tmp_path / "searches" / whole.run / f"{whole.question[:16]}.json"
    path.parent.mkdir(parents=True)
    path.write_text(search_text(sealed_search({k: v for k, v in values.items() if k != "schema"})))
    assert field in {finding.field for finding in validate_search(path)}


FRONTS: list[tuple[str, Edit]] = [
    ("front.2", lambda values: values["front"][2].update(budget=9e6)),
    ("front.1.macs_alone", lambda values: values["front"][1].update(macs_alone=99.0)),
    ("front.1.random", lambda values: values["front"][1].update(random=99.0)),
    ("best", lambda values: values.update(best=dict(values["front"][0]))),
]


@pytest.fixture(scope="module")
def front(trained: Path) -> SearchRecord:
    return api.search("deps", front=True, results=trained)


@pytest.mark.parametrize(("field", "edit"), FRONTS, ids=[name for name, _ in FRONTS])
def test_tampering_with_a_front_is_found(
    field: str, edit: Edit, front: SearchRecord, tmp_path: Path
) -> None:
    values = json.loads(search_text(front))
    edit(values)
    for point in ("budget", "random", "macs_alone"):
        values["best"].pop(point, None)
    path = tmp_path / "searches" / front.run / f"{front.question[:16]}.json"
    path.parent.mkdir(parents=True)
    path.write_text(search_text(sealed_search({k: v for k, v in values.items() if k != "schema"})))
    assert field in {finding.field for finding in validate_search(path)}


def test_an_edited_file_is_no_search(whole: SearchRecord, tmp_path: Path) -> None:
    path = tmp_path / "searches" / whole.run / f"{whole.question[:16]}.json"
    path.parent.mkdir(parents=True)
    path.write_text(search_text(whole).replace('"evaluated": 216', '"evaluated": 215'))
    assert "sha256" in {finding.field for finding in validate_search(path)}
    with pytest.raises(UsageError, match="was changed"):
        read_search(path)
    path.write_bytes(b"[" * 100_000)
    assert [finding.field for finding in validate_search(path)] == ["file"]
    path.unlink()
    path.mkdir()
    assert [finding.field for finding in validate_search(path)] == ["file"]


def test_a_large_file_is_not_read(
    whole: SearchRecord, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFA_BENCH_LIMITS", "search-bytes=1000")
    (finding,) = validate_search(file_of(whole, trained))
    assert "over 1,000 bytes" in finding.message


def test_scores_that_were_changed_are_not_used(copy: Path) -> None:
    record = api.search("deps", macs="130k", evaluations=4, results=copy)
    (path,) = copy.glob("searches/*/scores/*.json")
    values = json.loads(path.read_text())
    for name, value in (("select", 10**9), ("subnet", {"kernel": [1]})):
        entry = {**values["select"][0], name: value}
        path.write_text(json.dumps({**values, "select": [entry]}))
        with pytest.raises(ResumeError) as caught:
            api.search("deps", macs="131k", evaluations=4, results=copy)
        assert "remove it" in caught.value.hint
    path.unlink()
    assert api.search("deps", macs="130k", evaluations=4, results=copy) == record


class Overspending:
    """Proposes the largest net, whatever the budget."""

    def propose(self, problem: Any, scored: Any, count: int, rng: random.Random) -> list[Subnet]:
        return [problem.space.largest]


class Repeating:
    """Proposes one net over and over."""

    def propose(self, problem: Any, scored: Any, count: int, rng: random.Random) -> list[Subnet]:
        return [problem.space.smallest]


@pytest.fixture
def broken_searchers() -> Iterator[None]:
    entries = discover().catalogue.entries
    for cls in (Overspending, Repeating):
        name = cls.__name__.lower()
        entries["searcher", name] = Entry("searcher", name, cls, Origin("tests"))
    yield
    for cls in (Overspending, Repeating):
        del entries["searcher", cls.__name__.lower()]


@pytest.mark.parametrize(
    ("searcher", "reason"), [("overspending", "over the budget"), ("repeating", "twice")]
)
def test_a_searcher_that_breaks_its_rules_is_named(
    copy: Path, broken_searchers: None, searcher: str, reason: str
) -> None:
    with pytest.raises(PluginError, match=reason) as caught:
        api.search("deps", macs="130k", searcher=searcher, evaluations=4, results=copy)
    assert isinstance(caught.value, BenchError) and searcher in caught.value.message


def test_intervals_are_those_of_wilson() -> None:
    assert wilson(0, 10) == (0.0, pytest.approx(27.7533, abs=1e-3))
    assert wilson(5, 10) == pytest.approx((23.6593, 76.3407), abs=1e-3)
    assert wilson(10, 10)[1] == pytest.approx(100.0)


def test_a_question_is_that_of_its_record(whole: SearchRecord) -> None:
    assert question_hash(search_values(whole)) == whole.question


def latency_table(space: Space) -> LatencyTable:
    """As if measured on another machine: a nanosecond a MAC."""
    tally = space.costs.macs(max(space.listed))

    def timing(macs: int) -> dict[str, Any]:
        ms = max(macs, 1) / 1e6
        return {"ms": ms, "p50": ms, "p90": ms, "n": 5}

    blocks = [
        {"slot": slot, "kernel": kernel, "expand": expand, **timing(macs)}
        for (slot, kernel, expand), macs in tally.blocks.items()
    ]
    part = {
        "resolution": max(space.listed),
        "trunk": timing(tally.fixed(CLASSES)),
        "head": timing(0),
        "blocks": blocks,
    }
    return LatencyTable.model_validate(
        {
            "schema": 1,
            "device": "torch-cpu",
            "batch": 1,
            "threads": 1,
            "rounds": 2,
            "classes": CLASSES,
            "measured": "2026-01-01T00:00:00+00:00",
            "versions": {},
            "space": {"name": space.name, "fingerprint": space.fingerprint()},
            "machine": {"processor": "another", "cores": 1, "system": "none"},
            "calibration": {"overhead": 0.0, "scale": 1.0, "offset": 0.0, "nets": 1},
            "check": {
                "nets": 30,
                "median_error": 0.01,
                "p90_error": 0.02,
                "tau": 0.99,
                "macs_error": 0.2,
                "macs_tau": 0.8,
                "repeat_error": 0.01,
                "repeat_tau": 0.99,
            },
            "parts": [part],
        }
    )


def test_a_latency_is_searched_by_its_table(
    trained: Path,
    space: Space,
    brute_force: Scores,
    whole: SearchRecord,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "table.toml"
    file.write_text(to_toml(latency_table(space)))
    record = api.search("deps", latency="0.13ms", table=file, results=trained)
    assert space.subnet(record.best.subnet) == best_under(brute_force, space, 130_000)
    assert record.best.latency == pytest.approx(record.best.macs / 1e6, abs=1e-5)
    assert record.best.measured is None, "another machine's table: nothing is measured here"
    findings = validate_search(file_of(record, trained))
    assert all(finding.unknown for finding in findings) and findings

    def slow(asked: Any, scores: Any, nets: list[Subnet]) -> dict[Subnet, float]:
        return {net: 0.12 if rank == 2 else 0.2 for rank, net in enumerate(nets)}

    monkeypatch.setattr(answering, "measured_again", slow)
    record = api.search("deps", latency="0.13ms", table=file, top=5, results=trained)
    assert record.best == record.top[2] and record.best.measured == 0.12
    assert record.best.top1_test is not None and record.top[0].top1_test is None


def test_a_table_of_another_space_is_refused(trained: Path, tmp_path: Path) -> None:
    file = tmp_path / "table.toml"
    file.write_text(to_toml(latency_table(load_space("laptop-8"))))
    with pytest.raises(UsageError, match="does not fit toy"):
        api.search("deps", latency="2ms", table=file, results=trained)
