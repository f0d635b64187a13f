"""A run's life by commands: run, shown again, evaluated, interrupted, resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import preloaded
from tests.cli.conftest import Bench

# Two threads that wait for each other on a busy machine make seconds of minutes.
ALONE = {**os.environ, "OMP_NUM_THREADS": "1", "OFA_BENCH_DEBUG": ""}
TINY = ("--space", "toy", "--epochs", "0.2", "--set", "evaluate.per_bucket=1")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    results = tmp_path_factory.mktemp("life") / "results"
    words = [sys.executable, "-m", "ofa_bench", "run", *TINY, "--results", str(results), "--json"]
    torch.set_num_threads(1)  # as the run, so that scores agree to the bit
    done = preloaded.run(words, env=ALONE)
    assert done.returncode == 0, done.stderr
    return results, json.loads(done.stdout)


def test_a_run_leaves_the_record_it_prints(
    bench: Bench, finished: tuple[Path, dict[str, Any]]
) -> None:
    results, record = finished
    assert record["status"] == "ok"
    name = record["run"]["id"]
    assert bench("show", name, "--results", results, "--json").json == record


def test_a_finished_run_is_not_run_again(
    bench: Bench, finished: tuple[Path, dict[str, Any]]
) -> None:
    results, record = finished
    done = bench("run", *TINY, "--results", results, "--json")
    assert done.json == record
    assert "its record stands" in done.err
    again = bench("run", *TINY, "--results", results, "--fresh")
    assert again.code == 1
    assert "never overwritten" in again.err
    assert bench("resume", record["run"]["id"][:12], "--results", results, "--json").json == record


def test_its_speed_predicts_the_next(bench: Bench, finished: tuple[Path, dict[str, Any]]) -> None:
    results, record = finished
    if record["machine"]["gpu"]:
        pytest.skip("the prediction asks for the GPU's name in another way")
    told = bench("plan", *TINY, "--results", results, "--json").json["predicted"]
    speed = record["cost"]["train_macs"] / record["cost"]["device_seconds"]
    assert told["macs_per_second"] == pytest.approx(speed) and told["records"] == 1


def test_subnets_score_as_they_did_in_the_sealed_pass(
    bench: Bench, finished: tuple[Path, dict[str, Any]]
) -> None:
    results, record = finished
    name = record["run"]["id"]
    known = {score["name"]: score for score in record["scores"]}
    words = ("evaluate", name, "--results", results, "--json", "--subnet", "largest", "--subnet")
    found = bench(*words, "smallest").json["scores"]
    assert [score["macs"] for score in found] == [
        max(score["macs"] for score in known.values()),
        min(score["macs"] for score in known.values()),
    ]
    for score in found:
        assert score == known[score["name"]]


@pytest.mark.parametrize("subnet", ["larges", '{"depth": [7, 1, 1]}'])
def test_subnets_outside_the_space_are_refused(
    bench: Bench, finished: tuple[Path, dict[str, Any]], subnet: str
) -> None:
    results, record = finished
    name = record["run"]["id"]
    done = bench("evaluate", name, "--results", results, "--subnet", subnet)
    assert done.code == 2 and done.out == ""


def test_an_unknown_run_is_a_sentence(bench: Bench, finished: tuple[Path, dict[str, Any]]) -> None:
    results, _ = finished
    for words in (("resume", "nothing"), ("evaluate", "nothing", "--subnet", "largest")):
        done = bench(*words, "--results", results)
        assert done.code == 2 and "nothing" in done.err and "Traceback" not in done.err


def test_a_teacher_may_be_named_by_its_run(
    bench: Bench, finished: tuple[Path, dict[str, Any]]
) -> None:
    results, record = finished
    words = ("plan", *TINY, "--results", results, "--method", "bignas")
    words = (*words, "--distill", "frozen", "--teacher")
    assert bench(*words, record["run"]["id"], "--json").code == 0
    assert bench(*words, "nothing").code == 2


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_names_the_line_that_goes_on(
    bench: Bench, tmp_path: Path, kind: signal.Signals
) -> None:
    words = ("--space", "toy", "--epochs", "500", "--results", str(tmp_path))
    run = preloaded.Process(
        [sys.executable, "-m", "ofa_bench", "run", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ALONE,
    )
    assert run.stderr is not None
    for line in run.stderr:
        if line.startswith("phase "):
            break
    run.send_signal(kind)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 130 and out == ""
    assert "Traceback" not in err
    line = err.strip().rpartition("go on with: ofa-bench ")[2]
    (begun,) = bench("runs", "--results", tmp_path, "--json").json["runs"]
    assert line == f"resume {begun['run']} --results {tmp_path}" and begun["status"] == "begun"
