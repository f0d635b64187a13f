"""Every hook is called, as often as its specification says."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ofa_bench import api
from ofa_bench.hooks.hookspecs import CatalogueSpec, TrainingSpec, hook_names
from ofa_bench.training import callbacks

DIARY = """
import json
from pathlib import Path
from ofa_bench import hookimpl

HERE = Path(__file__).with_suffix(".jsonl")

def note(hook, **values):
    with HERE.open("a") as stream:
        stream.write(json.dumps({"hook": hook, **values}) + "\\n")

class Diary:
    @hookimpl
    def run_start(self, run):
        note("run_start", parameters=len(run.parameters), steps=run.schedule.steps)

    @hookimpl
    def phase_start(self, phase, step):
        note("phase_start", phase=phase.name, step=step.index)

    @hookimpl
    def after_step(self, step, outcome):
        note("after_step", draws=len(outcome.draws), losses=len(outcome.losses))

    @hookimpl
    def after_eval(self, step, scores):
        note("after_eval", nets=sorted(scores.top1))

    @hookimpl
    def run_end(self, record):
        note("run_end", status=record["status"])

    @hookimpl
    def merge_gradients(self, step, draws, grads, active, shares):
        note("merge_gradients", rows=len(grads), used=float(active[0].float().mean()))
        return grads.sum(0)

    @hookimpl(wrapper=True)
    def distill_loss(self, draw):
        note("distill_loss", role=draw.role.value)
        return (yield)

@hookimpl
def register(catalogue):
    note("register")
    catalogue.extra("diary", Diary, affects_training=True)
"""

TINY = {"method": "deps", "dataset": "digits", "space": "toy", "epochs": 1}
OWN = {"shrink_phases", "shrink_draws", "lr_at", "lr_share", "distill_teacher"}  # seen below


def test_hooks_are_called_as_often_as_they_say(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    plugin = tmp_path / "diary.py"
    plugin.write_text(DIARY)
    asked = {**TINY, "results": tmp_path}
    asked |= {"set": ("evaluate.per_bucket=1", "evaluate.curve=2", "optim.norm_batch=32")}
    record = api.run(**asked, plugins=(str(plugin),), extras=("diary",))
    lines = [json.loads(line) for line in plugin.with_suffix(".jsonl").read_text().splitlines()]
    calls = Counter(line["hook"] for line in lines)
    schedule = api.plan(**{k: v for k, v in asked.items() if k != "results"}).schedule
    warm, whole = schedule.edges[1], schedule.steps
    assert calls["run_start"] == calls["run_end"] == 1
    assert calls["phase_start"] == 2
    assert calls["after_step"] == calls["merge_gradients"] == whole
    assert calls["after_eval"] == len(record.curve)
    micro = [len(schedule.cuts(index)) for index in range(whole)]
    assert calls["distill_loss"] == sum(micro[:warm]) + 4 * sum(micro[warm:])
    assert {line["rows"] for line in lines if line["hook"] == "merge_gradients"} == {1, 4}
    assert record.method.wrappers == ("diary: distill_loss",)
    every = hook_names(TrainingSpec) | hook_names(CatalogueSpec)
    assert set(calls) | OWN == every


def test_a_merge_that_sums_changes_nothing_but_rounding(tmp_path: Path) -> None:
    plugin = tmp_path / "diary.py"
    plugin.write_text(DIARY)
    # Short: later a rounding switches a rectifier, and no two orders of summation stay together.
    asked = {**TINY, "epochs": 0.4, "results": tmp_path}
    asked |= {"set": ("evaluate.per_bucket=1", "evaluate.buckets=1", "evaluate.curve=0")}
    plain = api.run(**asked)
    merged = api.run(**asked, plugins=(str(plugin),), extras=("diary",))
    from safetensors.torch import load_file

    one, other = (
        load_file(str(tmp_path / "runs" / record.run.id / "weights.safetensors"))
        for record in (plain, merged)
    )
    for name, value in one.items():
        assert (value - other[name]).abs().max() <= 1e-5, name


def test_the_event_log_grows_by_time_and_not_by_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock:
        now = 1e9

        def monotonic(self) -> float:
            return self.now

        time = monotonic

    clock = Clock()
    monkeypatch.setattr(callbacks, "time", clock)
    step: Any = SimpleNamespace(index=0)
    outcome: Any = SimpleNamespace(draws=(), losses=(), shares=(), lr=0.1)
    for steps, seconds, most in ((10_000, 0.01, 51), (86_400, 1.0, 24 * 60 + 500)):
        log = callbacks.EventLog(tmp_path / f"{steps}.jsonl", draws=True)
        for _ in range(steps):
            clock.now += seconds
            log.after_step(step, outcome)
        log.close()
        lines = (tmp_path / f"{steps}.jsonl").read_text().splitlines()
        assert most / 2 < len(lines) <= most
