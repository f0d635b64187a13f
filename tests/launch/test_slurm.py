"""A comparison on a real Slurm: the weights of a local one, whatever signals its tasks get."""

from __future__ import annotations

import json
import random
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Bench
from tests.launch.cluster import Cluster

LINE = ("compare", "--methods", "deps,random-subnet", "--seeds", "4", "--space", "toy")
LINE += ("--epochs", "1", "--set", "evaluate.per_bucket=1", "--set", "evaluate.curve=0", "--yes")
LINE += ("--set", "evaluate.buckets=1")
TASKS = 8


@pytest.fixture(autouse=True)
def _here(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cluster.env.items():
        monkeypatch.setenv(name, value)


def weights(results: Path) -> dict[tuple[str, int], str]:
    records = [json.loads(path.read_text()) for path in results.glob("records/*/*/*.json")]
    return {(r["method"]["name"], r["seed"]): r["weights_sha256"] for r in records}


def test_a_dry_run_prints_the_script_and_does_nothing(
    bench: Bench, cluster: Cluster, site: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    done = bench(*LINE, "--results", results, "--launch", site, "--dry-run")
    assert done.code == 0 and done.out.startswith("#!/bin/bash\n")
    assert f"--array=0-{TASKS - 1}%2" in done.out and f"{TASKS} missing" in done.err
    checked = subprocess.run(["bash", "-n"], input=done.out, text=True, capture_output=True)
    assert checked.returncode == 0, checked.stderr
    assert cluster.call("squeue", "-h") == "" and not results.exists()


def test_a_submission_that_the_queue_refuses_leaves_nothing(
    bench: Bench, cluster: Cluster, tmp_path: Path
) -> None:
    site = tmp_path / "other.toml"
    site.write_text('launcher = "slurm"\ngpus = 0\npartition = "nowhere"\n')
    line = (*LINE, "--results", tmp_path / "results", "--launch", site)
    done = bench(*line)
    assert done.code == 1 and "invalid partition" in done.err
    assert f"{TASKS} missing" in bench(*line, "--dry-run").err


def test_the_weights_of_a_local_comparison(
    bench: Bench, cluster: Cluster, site: Path, tmp_path: Path, record_property: Any
) -> None:
    """Submitted once; one task is told to stop at a random moment, and no other notices."""
    line = (*LINE, "--results", tmp_path / "there", "--launch", site, "--json")
    began = time.monotonic()
    first = bench(*line).json["launch"]
    record_property("submission, s", round(time.monotonic() - began, 1))
    every = ("squeue", "--noheader", "--array", "--states=all", f"--jobs={first['job']}")
    assert first["submitted"] == TASKS and len(cluster.call(*every).splitlines()) == TASKS
    again = bench(*line)
    assert again.json["launch"]["submitted"] == 0 and again.code == 0
    assert len(cluster.call("squeue", "-h", "-r", "--states=all").splitlines()) == TASKS
    assert again.json["launch"]["states"]["queued"] > 0
    task = f"{first['job']}_{random.randrange(2, TASKS)}"
    cluster.until(lambda: cluster.tasks().get(task) == "RUNNING", "a task that runs")
    time.sleep(random.uniform(0, 4))
    cluster.signal(task)
    assert bench(*LINE, "--results", tmp_path / "here").code == 0
    cluster.until(cluster.over, "the end of all tasks", guard=300)
    done = bench(*line)
    assert done.code == 0, done.out
    assert done.json["launch"]["states"]["done"] == TASKS
    assert {row["n"] for row in done.json["rows"]} == {4}
    assert weights(tmp_path / "there") == weights(tmp_path / "here")
    local = (*LINE, "--results", tmp_path / "here", "--launch", site, "--dry-run")
    assert f"{TASKS} done" in bench(*local).err, "records that no launch made"
    names = [f"{first['job']}_{number}" for number in range(TASKS)]
    restarts = {name: cluster.restarts(name) for name in names}
    assert not any(count for name, count in restarts.items() if name != task), restarts
    record_property("restarts of the signalled task", restarts[task])


def test_a_cancelled_task_is_not_requeued_and_its_state_goes_on(
    bench: Bench, cluster: Cluster, site: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    line = ("compare", "--methods", "deps", "--seeds", "1", "--space", "toy", "--epochs", "1000")
    line += ("--yes", "--results", str(results), "--launch", str(site), "--json")
    job = bench(*line).json["launch"]["job"]
    cluster.until(lambda: list(results.glob("runs/*/checkpoint/*.pt")), "a checkpoint")
    cluster.call("scancel", job)
    cluster.until(lambda: not cluster.tasks(), "the end of the task")
    (answer,) = (results / "runs" / "launches").glob("[0-9a-f]*.json")
    assert json.loads(answer.read_text())["exit"] == 130
    document = bench(*line, "--dry-run").json["launch"]
    assert document["states"]["stopped"] == 1 and document["script"]
    assert list(results.glob("runs/*/checkpoint/*.pt"))
    assert answer.with_suffix(".toml").exists()
