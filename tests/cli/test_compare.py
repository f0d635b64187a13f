"""What a comparison runs, and what it makes of what became of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ofa_bench import api
from ofa_bench.cli import console
from ofa_bench.cli.commands.training import compare
from ofa_bench.errors import DataError, Interrupted, TrainingDiverged
from ofa_bench.recipe import Request
from ofa_bench.records.store import Store
from tests.cli.conftest import Bench
from tests.records.factory import make

SHORT = ("--space", "toy", "--epochs", "1")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """The requests a comparison makes; each is answered with a made-up record."""
    seen: list[Request] = []

    def run_request(request: Request, *others: Any, **named: Any) -> Any:
        seen.append(request)
        name = f"{request.method}-{len(request.set)}"
        record, bits = make(name, request.seed, 70.0)
        Store(api.results_root(request.results)).write(record, bits)
        return record

    monkeypatch.setattr(api, "run_request", run_request)
    monkeypatch.setattr("ofa_bench.cli.allocator.settle", lambda device: False)
    return seen


def declared(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "comparison.toml"
    path.write_text(text)
    return path


def test_the_default_is_four_methods_and_three_seeds(
    bench: Bench, results: Path, asked: list[Request]
) -> None:
    found = bench("compare", *SHORT, "--seeds", "1", "--results", results, "--json")
    assert found.code == 0
    assert [request.method for request in asked] == ["ofa", "compofa", "bignas", "deps"]
    assert {row["n"] for row in found.json["rows"]} == {1}


def test_seeds_are_a_count_or_a_list(bench: Bench, results: Path, asked: list[Request]) -> None:
    words = ("compare", "--methods", "deps,bignas", *SHORT, "--results", results)
    bench(*words, "--seeds", "2")
    assert [(r.method, r.seed) for r in asked] == [
        ("deps", 0),
        ("bignas", 0),
        ("deps", 1),
        ("bignas", 1),
    ]
    asked.clear()
    bench(*words, "--seeds", "4,7")
    assert [request.seed for request in asked] == [4, 4, 7, 7]


@pytest.mark.parametrize("seeds", ["0", "-1", "nan", "1,1", ",", "two", "1.5"])
def test_seeds_that_mean_nothing_are_refused(bench: Bench, seeds: str) -> None:
    done = bench("compare", *SHORT, "--seeds", seeds)
    assert done.code == 2 and "'--seeds'" in done.err


def test_the_row_shape_is_the_published_one(
    bench: Bench, results: Path, asked: list[Request]
) -> None:
    words = ("compare", "--methods", "deps", *SHORT, "--results", results, "--seeds", "1")
    (row,) = bench(*words, "--json").json["rows"]
    assert set(row) >= {"method", "n", "mean_pareto_accuracy", "cost", "rank"}
    assert set(row["mean_pareto_accuracy"]) == {"mean", "low", "high"}
    table = bench(*words).out
    assert "n = 1: order not told" in table


def test_the_total_is_told_before_the_first_run(
    bench: Bench, results: Path, asked: list[Request]
) -> None:
    err = bench("compare", *SHORT, "--seeds", "1", "--results", results).err
    assert err.index("4 runs, ") < err.index("run 1 of 4")
    assert "training MACs" in err.splitlines()[0]


def test_a_file_declares_a_comparison(
    bench: Bench, results: Path, asked: list[Request], tmp_path: Path
) -> None:
    path = declared(
        tmp_path,
        """
        methods = ["deps", "bignas"]
        seeds = 1
        space = "toy"
        epochs = 2
        data-dir = "somewhere"
        [set]
        optim.momentum = 0.8
        "evaluate.per_bucket" = 1
        """,
    )
    assert bench("compare", path, "--results", results).code == 0
    assert [request.method for request in asked] == ["deps", "bignas"]
    assert asked[0].epochs == 2 and asked[0].data_dir == "somewhere"
    assert asked[0].set == ("optim.momentum=0.8", "evaluate.per_bucket=1")


def test_the_command_line_goes_before_the_file(
    bench: Bench, results: Path, asked: list[Request], tmp_path: Path
) -> None:
    path = declared(tmp_path, 'methods = ["deps"]\nseeds = [5]\nspace = "toy"\nepochs = 9\n')
    bench("compare", path, "--epochs", "1", "--seeds", "0,2", "--results", results)
    assert [(request.epochs, request.seed) for request in asked] == [(1, 0), (1, 2)]


def test_rows_differ_in_what_they_say_of_themselves(
    bench: Bench, results: Path, asked: list[Request], tmp_path: Path
) -> None:
    path = declared(
        tmp_path,
        """
        seeds = 1
        space = "toy"
        epochs = 2
        set = ["optim.momentum=0.8"]
        [[rows]]
        method = "deps"
        [[rows]]
        method = "deps"
        set = { "shrink.start" = 0.25 }
        [[rows]]
        method = "bignas"
        lr = "cosine"
        """,
    )
    assert bench("compare", path, "--results", results).code == 0
    assert [request.method for request in asked] == ["deps", "deps", "bignas"]
    assert asked[1].set == ("optim.momentum=0.8", "shrink.start=0.25")
    assert asked[2].lr == "cosine" and asked[2].set == ("optim.momentum=0.8",)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("epoch = 3", "epochs"),
        ("epochs = nan", "--epochs"),
        ("epochs = [1]", "--epochs"),
        ("seeds = -1", "--seeds"),
        ('[budget]\nrule = "paper"', "budget"),
        ("rows = 3", "rows"),
        ('methods = ["deps"]\n[[rows]]\nmethod = "ofa"', "methods"),
        ("[[rows]]\nseeds = 2", "seeds"),
        ('[[rows]]\nmethd = "ofa"', "method"),
        ("= 3", "TOML"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(
    bench: Bench, asked: list[Request], tmp_path: Path, text: str, names: str
) -> None:
    done = bench("compare", declared(tmp_path, text))
    assert done.code == 2 and asked == []
    assert names in done.err


def test_a_mistake_in_any_row_is_met_before_the_first_run(
    bench: Bench, asked: list[Request]
) -> None:
    assert bench("compare", "--methods", "deps,nope", *SHORT).code == 2
    assert asked == []


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception, seed: int = 0) -> None:
    answer = api.run_request

    def run_request(request: Request, *others: Any, **named: Any) -> Any:
        if request.method == "ofa" and request.seed == seed:
            raise error
        return answer(request, *others)

    monkeypatch.setattr(api, "run_request", run_request)


def test_a_run_that_fails_is_told_and_the_others_go_on(
    bench: Bench, results: Path, asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, TrainingDiverged("the loss is not finite", "lower the rate"))
    words = ("compare", "--methods", "ofa,deps", *SHORT, "--seeds", "1", "--results", results)
    done = bench(*words, "--json")
    assert done.code == 1
    assert [request.method for request in asked] == ["deps"]
    (lost,) = done.json["failures"]
    assert lost["error"] == "the loss is not finite" and lost["run"].startswith("ofa on digits")
    assert "failed: ofa on digits" in bench(*words).out


def test_a_users_mistake_stops_everything(
    bench: Bench, results: Path, asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, DataError("no such images", "fetch them"))
    words = ("compare", "--methods", "ofa,deps", *SHORT, "--seeds", "1", "--results", results)
    assert bench(*words).code == 2 and asked == []


def test_an_interruption_names_both_ways_on(
    bench: Bench, results: Path, asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, Interrupted("stopped", "go on with: ofa-bench resume x"))
    done = bench("compare", "--methods", "ofa", *SHORT, "--results", results)
    assert done.code == 130
    assert "ofa-bench resume x" in done.err and "same line" in done.err


@pytest.mark.parametrize(("answer", "code"), [(True, 0), (False, 1)])
def test_a_long_comparison_asks_first(
    bench: Bench,
    results: Path,
    asked: list[Request],
    monkeypatch: pytest.MonkeyPatch,
    answer: bool,
    code: int,
) -> None:
    questions: list[str] = []

    def confirm(question: str) -> bool:
        questions.append(question)
        return answer

    monkeypatch.setattr(console, "confirm", confirm)
    words = ("compare", "--methods", "deps", *SHORT, "--results", results, "--seeds", "1")
    assert bench(*words).code == 0 and not questions
    asked.clear()
    monkeypatch.setattr(compare, "ASK_FROM", 0.0)
    assert bench(*words).code == code
    assert len(questions) == 1 and bool(asked) is answer
    assert bench(*words, "--yes").code == 0 and len(questions) == 1


def test_nobody_is_asked_where_stdin_is_no_terminal() -> None:
    assert console.confirm("Start?") is True


def test_json_rows_can_be_read_back(bench: Bench, results: Path, asked: list[Request]) -> None:
    words = ("compare", "--methods", "deps", *SHORT, "--results", results, "--seeds", "1")
    found = bench(*words, "--json").json
    board = bench("board", "--results", results, "--json").json
    assert json.dumps(found["rows"]) == json.dumps(board["rows"])


def test_the_line_for_more_seeds_is_the_same_comparison(
    bench: Bench, results: Path, asked: list[Request]
) -> None:
    words = ("compare", "--methods", "deps", *SHORT, "--results", results, "--seeds", "1")
    line = bench(*words).out.splitlines()[-1]
    given = " ".join(map(str, words[:-2]))
    assert line == f"more seeds: ofa-bench {given} --seeds 3"
