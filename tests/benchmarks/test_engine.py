"""What surrounds a step: loop, hooks, ledger, input, start-up."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ofa_bench import api
from ofa_bench.errors import DataError
from ofa_bench.runs.runner import prepare, state_of
from ofa_bench.training.callbacks import Silent
from ofa_bench.training.devices import open_devices
from ofa_bench.training.forward_backward import Passes
from ofa_bench.training.interrupts import Stop
from ofa_bench.training.loop import Loop

from .timing import FULL, Line, Table

ROUNDS = 5 if FULL else 3
RUNS: dict[str, dict[str, Any]] = {
    "toy": {"dataset": "digits", "epochs": 4},
    "laptop-8": {"dataset": "digits", "epochs": 1},
    "laptop-32": {"dataset": "cifar10", "epochs": 0.08},
}


def ready(name: str, folder: Path) -> Any:
    """A run's state before its first step."""
    asked = api.request(
        method="bignas", space=name, results=folder, set=("evaluate.curve=0",), **RUNS[name]
    )
    with open_devices("cpu") as devices:
        prepared = prepare(asked, api.catalogue_for(asked), devices)
        return state_of(prepared, Stop(), Silent())


def engine(name: str, folder: Path) -> float:
    """Seconds of the engine's loop."""
    state = ready(name, folder)
    began = time.perf_counter()
    Loop(state).run()
    return time.perf_counter() - began


def bare(name: str, folder: Path) -> float:
    """Seconds of the same steps with draws and rates made beforehand, and nothing around them."""
    state = ready(name, folder)
    schedule, bus = state.assembly.schedule, state.assembly.bus
    steps = [schedule.step(index) for index in range(schedule.steps)]
    plans = [(step, bus.draws(step, lambda net: 0.0), bus.lr_at(step)) for step in steps]
    from ofa_bench.data.sources.batch import Address

    cuts = [schedule.cuts(step.index) for step in steps]
    stream = state.source.batches(Address(*cut) for each in cuts for cut in each)
    state.optimizer.join(state.net.reachable(state.assembly.space))
    began = time.perf_counter()
    for (step, draws, lr), parts in zip(plans, cuts, strict=True):
        samples = sum(stop - start for _, start, stop in parts)
        passes = Passes(
            net=state.net,
            bus=bus,
            criterion=state.criterion,
            step=step,
            draws=draws,
            shares=[1.0] * len(draws),
            teach=None,
        )
        state.gradients.zero()
        for number in range(len(parts)):
            batch = next(stream)
            passes.run(batch, number, len(batch.labels) / samples, lambda draw: None)
        state.optimizer.step(lr)
    return time.perf_counter() - began


@pytest.mark.parametrize("name", RUNS)
def test_the_loop_costs_next_to_nothing(name: str, tmp_path: Path, table: Table) -> None:
    try:
        ready(name, tmp_path / "first")
    except DataError as error:
        pytest.skip(error.message)
    ratios = []
    for number in range(ROUNDS):
        pair = [(engine, f"e{number}"), (bare, f"b{number}")]
        spent = {
            run: run(name, tmp_path / folder)
            for run, folder in (pair if number % 2 else reversed(pair))
        }
        ratios.append(spent[engine] / spent[bare])
    table.add(Line(f"engine's loop, {name} (time)", "a bare loop", ratios, "≤ 1.03"))


def test_input_share(tmp_path: Path, table: Table) -> None:
    try:
        record = api.run(
            method="bignas",
            dataset="cifar10",
            space="laptop-32",
            epochs=0.08,
            results=tmp_path,
            set=("evaluate.curve=0", "evaluate.per_bucket=1", "evaluate.buckets=1"),
        )
    except DataError as error:
        pytest.skip(error.message)
    share = record.cost.waiting_share
    table.add(Line("share of waiting for images, CIFAR-10", "a step", [share], "≤ 0.03"))


def test_a_hook_call(benchmark: Any) -> None:
    plan = api.plan(method="deps", dataset="digits")
    step = plan.schedule.step(plan.schedule.steps - 1)
    draw = plan.bus.draws(step, lambda net: 0.0)[0]
    benchmark(plan.bus.lr_share, step, draw)


def test_start_up(table: Table) -> None:
    words = [sys.executable, "-m", "ofa_bench", "--help"]
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run(words, check=True, capture_output=True)
        seconds.append(time.perf_counter() - began)
    table.add(Line("`ofa-bench --help`", "a second", seconds, "≤ 0.5"))
