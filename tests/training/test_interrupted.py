"""A run stopped or killed at any moment ends with the weights and scores of an undisturbed one."""

from __future__ import annotations

import os
import signal
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from ofa_bench import api
from ofa_bench.data.discovery import decoder
from ofa_bench.errors import Interrupted
from ofa_bench.hooks.bus import Bus
from ofa_bench.runs import final_evaluation
from ofa_bench.training.checkpoint import Checkpoints
from ofa_bench.training.loop import Loop
from tests import preloaded
from tests.running import pictures

SMALL: dict[str, Any] = {"dataset": "digits", "space": "toy", "epochs": 0.6}
SMALL |= {"set": ("evaluate.per_bucket=1", "evaluate.buckets=2", "evaluate.curve=1")}


METHODS = ["ofa", "compofa", "bignas", "bignas-port", "deps"]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The results folder and the record of a method's undisturbed run, trained once."""

    @cache
    def run(method: str) -> tuple[Path, Any]:
        results = tmp_path_factory.mktemp(method) / "whole"
        return results, api.run(method=method, results=results, **SMALL)

    return run


class Killed(BaseException):
    """Nothing may catch it, as nothing catches a SIGKILL."""


@pytest.mark.parametrize("method", METHODS)
def test_killed_twice(
    method: str, undisturbed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, whole = undisturbed(method)
    monkeypatch.setattr(Checkpoints, "due", property(lambda self: True))
    tell = Bus.after_step
    for moment in (3, 7):  # before and after the edge of the first phase, of eleven steps

        def kill(bus: Bus, step: object, outcome: object, at: int = moment) -> None:
            if step.index == at:  # type: ignore[attr-defined]
                raise Killed
            tell(bus, step, outcome)  # type: ignore[arg-type]

        monkeypatch.setattr(Bus, "after_step", kill)
        with pytest.raises(Killed):
            api.run(method=method, results=tmp_path, **SMALL)
    monkeypatch.setattr(Bus, "after_step", tell)
    (folder,) = (tmp_path / "runs").iterdir()
    assert list((folder / "checkpoint").glob("*.pt"))
    again = api.resume(folder.name, tmp_path)
    assert again.weights_sha256 == whole.weights_sha256
    assert [s.top1_test for s in again.scores] == [s.top1_test for s in whole.scores]


def stop(number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


def went_on(method: str, folder: Path) -> Any:
    """Resume until nothing interrupts any more."""
    (run,) = (folder / "runs").iterdir()
    for _ in range(20):
        try:
            return api.resume(run.name, folder)
        except Interrupted as told:
            assert f"ofa-bench resume {run.name}" in told.hint
    raise AssertionError("interrupted for ever")


@pytest.mark.parametrize("method", METHODS)
def test_stopped_in_the_first_and_last_step_of_every_phase(
    method: str, undisturbed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, whole = undisturbed(method)
    edges = api.plan(method=method, **SMALL).schedule.edges
    moments = {*edges[:-1], *(edge - 1 for edge in edges[1:])}
    draw = Bus.draws

    def once(bus: Bus, step: Any, probe: Any) -> Any:
        if step.index in moments:
            moments.remove(step.index)
            stop()
        return draw(bus, step, probe)

    monkeypatch.setattr(Bus, "draws", once)
    with pytest.raises(Interrupted):
        api.run(method=method, results=tmp_path / "cut", **SMALL)
    again = went_on(method, tmp_path / "cut")
    assert not moments
    assert again.weights_sha256 == whole.weights_sha256
    assert again.scores == whole.scores
    assert again.curve == whole.curve


def test_stopped_while_the_curve_is_measured(
    undisturbed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, whole = undisturbed("deps")
    measure, stopped = Loop.curve_point, set()

    def once(loop: Loop, step: Any) -> Any:
        if step.index not in stopped:
            stopped.add(step.index)
            stop()
        return measure(loop, step)

    monkeypatch.setattr(Loop, "curve_point", once)
    with pytest.raises(Interrupted):
        api.run(method="deps", results=tmp_path / "cut", **SMALL)
    again = went_on("deps", tmp_path / "cut")
    assert again.weights_sha256 == whole.weights_sha256
    assert [p.step for p in again.curve] == [p.step for p in whole.curve]
    assert again.curve == whole.curve


def test_stopped_in_the_middle_of_an_image_of_the_final_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the signal that ended the run, and no image is called corrupt."""
    images = pictures(tmp_path / "images")
    asked: dict[str, Any] = {**SMALL, "dataset": "folder", "data_dir": images, "workers": 0}
    asked["set"] = ("evaluate.per_bucket=1", "evaluate.buckets=1", "evaluate.curve=0")
    whole = api.run(method="ofa", results=tmp_path / "whole", **asked)
    pixels, judge = decoder.pixels_of, final_evaluation.judge
    left = []

    def stopped(image: Any) -> Any:
        if left:
            left.clear()
            stop()
        return pixels(image)

    def judged(*words: Any) -> Any:
        left.append("a signal")
        return judge(*words)

    with monkeypatch.context() as patch, pytest.raises(Interrupted, match="interrupted"):
        patch.setattr(decoder, "pixels_of", stopped)
        patch.setattr(final_evaluation, "judge", judged)
        api.run(method="ofa", results=tmp_path / "cut", **asked)
    assert not left
    again = went_on("ofa", tmp_path / "cut")
    assert again.weights_sha256 == whole.weights_sha256
    assert again.scores == whole.scores


DYING = """
import os, signal, sys
from ofa_bench import api
from ofa_bench.training.checkpoint import Checkpoints
from ofa_bench.training.optimizer import Optimizer

moment, folder = sys.argv[1:]
Checkpoints.due = property(lambda self: True)
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
count = 0
if moment == "in an update":
    rate = Optimizer.rate
    def update(self, lr):
        global count
        count += 1
        if count == 5:
            with __import__("torch").no_grad():
                for parameter in list(self._parameters.values())[::2]:
                    parameter.add_(1)
            die()
        rate(self, lr)
    Optimizer.rate = update
else:
    replace = os.replace
    def half(source, target, **more):
        global count
        count += str(target).endswith(".pt")
        if count == 7:
            die()
        replace(source, target, **more)
    os.replace = half
set_ = ("evaluate.per_bucket=1", "evaluate.buckets=2", "evaluate.curve=1")
api.run(method="deps", dataset="digits", space="toy", epochs=0.6, set=set_, results=folder)
"""


@pytest.mark.parametrize("moment", ["in an update", "in a checkpoint"])
def test_killed_and_resumed_from_the_shell(moment: str, undisturbed: Any, tmp_path: Path) -> None:
    results, whole = undisturbed("deps")
    cut = tmp_path / "cut"
    words = [sys.executable, "-c", DYING, moment, str(cut)]
    died = preloaded.run(words, timeout=120)
    assert died.returncode == -signal.SIGKILL, died.stderr[-2000:]
    (run,) = (cut / "runs").iterdir()
    words = [sys.executable, "-m", "ofa_bench", "resume", run.name, "--results", str(cut)]
    done = preloaded.run(words, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    weights = [(d / "runs" / run.name / "weights.safetensors") for d in (cut, results)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert whole.run.id == run.name
