"""Trackers against the real libraries, on local files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ofa_bench import api
from ofa_bench.errors import Interrupted, UsageError

SMALL: dict[str, Any] = {"method": "deps", "dataset": "digits", "space": "toy", "epochs": 2}
SMALL |= {"set": ("evaluate.per_bucket=1", "evaluate.buckets=1", "evaluate.curve=2")}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """All scalars of a TensorBoard folder, by name and step."""
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = reading.EventAccumulator(str(folder))
    events.Reload()
    return {
        name: {event.step: event.value for event in events.Scalars(name)}
        for name in events.Tags()["scalars"]
    }


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    record = api.run(**SMALL, extras=("tensorboard",), results=tmp_path)
    told = scalars(tmp_path / "runs" / record.run.id / "tensorboard")
    steps = api.plan(**SMALL).schedule.steps
    assert {"loss/largest", "loss/sampled", "loss/smallest", "lr", "epsilon", "epoch"} <= set(told)
    assert sorted(told["lr"])[:3] == [10, 20, 30]
    assert max(told["lr"]) == steps
    last = record.curve[-1]
    assert told["select/largest"][last.step] == pytest.approx(last.largest)
    assert record.summary is not None
    top1 = record.summary.largest_top1
    assert told["test/largest_top1"][steps] == pytest.approx(top1, rel=1e-6)


@pytest.mark.parametrize("named", [False, True])
def test_mlflow(named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    place = tmp_path / ("named.db" if named else "results/mlflow.db")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if named:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}")
    record = api.run(**SMALL, extras=("mlflow",), results=tmp_path / "results")
    assert place.is_file()
    client = mlflow.MlflowClient(f"sqlite:///{place}")
    (experiment,) = client.search_experiments(filter_string="name = 'ofa-bench'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert record.summary is not None
    assert run.data.metrics["test/largest_top1"] == pytest.approx(record.summary.largest_top1)
    assert run.data.params["optim.lr"] == "0.1"
    assert run.info.status == "FINISHED"
    history = client.get_metric_history(run.info.run_id, "loss/largest")
    assert [point.step for point in history][:2] == [10, 20]


def test_a_resumed_run_has_each_step_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    from ofa_bench.training.loop import Loop

    step, left = Loop._step, [25]

    def stopping(loop: Loop, at: Any) -> None:
        if left and at.index == left[0]:
            left.clear()
            loop.stop.requested = True
        step(loop, at)

    monkeypatch.setattr(Loop, "_step", stopping)
    with pytest.raises(Interrupted):
        api.run(**SMALL, extras=("tensorboard",), results=tmp_path)
    (folder,) = (tmp_path / "runs").iterdir()
    record = api.resume(folder.name, tmp_path)
    told = scalars(folder / "tensorboard")
    assert sorted(told["lr"])[:4] == [10, 20, 30, 38]
    assert record.status == "ok"


def test_a_run_is_the_same_run_with_and_without(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    short = {**SMALL, "epochs": 0.5}
    plain = api.run(**short, results=tmp_path / "plain")
    watched = api.run(**short, extras=("tensorboard",), results=tmp_path / "watched")
    assert watched.run_id == plain.run_id
    assert watched.weights_sha256 == plain.weights_sha256
    metered = api.run(**short, extras=("meter",), results=tmp_path / "metered")
    assert metered.run_id != plain.run_id


def test_a_missing_library_is_said_before_anything_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ofa_bench_trackers.tracker.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="mlflow") as told:
        api.run(**SMALL, extras=("mlflow",), results=tmp_path)
    assert "pip install 'ofa-bench[mlflow]'" in told.value.hint
    assert not (tmp_path / "runs").exists()
