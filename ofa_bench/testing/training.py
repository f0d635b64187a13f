"""Clauses that train: a resume and a second rank give what an undisturbed run gives."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_bench.api import shell_line
from ofa_bench.engine.observers import Silent
from ofa_bench.errors import Interrupted
from ofa_bench.hookspecs import Outcome
from ofa_bench.schedule import Step
from ofa_bench.testing.case import Case, draws_of, only, replay
from ofa_bench.testing.verdict import Breach, clause

if TYPE_CHECKING:
    from ofa_bench.engine.signals import Stop
    from ofa_bench.records.schema import Record

RUNS = ("shrink", "lr", "distill", "extra", "method")
SHORT = 0.6  # epochs: a dozen steps, enough for a phase each
CLOSE = 1e-4  # what the order of sums may do to a weight in a dozen steps


class Halting(Silent):
    """Asks for a stop once some step is done."""

    def __init__(self, stop: Stop, at: int | None) -> None:
        self.stop, self.at = stop, at

    def step(self, step: Step, outcome: Outcome) -> None:
        """Ask."""
        self.stop.requested = step.index == self.at


def trained(case: Case, folder: Path, halt: int | None = None) -> Record:
    """A short run, or what is left of it; Interrupted after the step it is to halt at."""
    from ofa_bench.engine.carry import carry_out, prepare
    from ofa_bench.engine.devices import open_devices
    from ofa_bench.engine.signals import Stop

    asked = case.asked(epochs=SHORT, results=str(folder))
    stop = Stop()
    with open_devices("cpu") as devices:
        prepared = prepare(asked, case.catalogue, devices)
        return carry_out(prepared, case.catalogue, stop, Halting(stop, halt), "plugin check")


@clause(
    "memory survives",
    "shrink",
    "lr",
    "distill",
    "extra",
    expected="load_state_dict(state_dict()) on a fresh one goes on as the old one would have",
)
def memory_survives(case: Case) -> None:
    """Only a policy that learns has a memory; it is written as checkpoints are."""
    import io

    import torch

    steps = case.schedule.steps
    old, new = case.again().bus, case.again().bus
    parts: dict[str, Any] = {**old.policies, **old.extras}
    own = parts[case.entry.name if case.entry.kind == "extra" else case.entry.kind]
    remembers = hasattr(own, "state_dict") and hasattr(own, "load_state_dict")
    if not remembers:
        only(not getattr(own, "pure", True), "it keeps no memory")
        raise Breach("it says `pure = False` but has no state_dict and load_state_dict")
    replay(old, case.schedule, steps // 2)
    file = io.BytesIO()
    torch.save(own.state_dict(), file)
    file.seek(0)
    kept = torch.load(file, weights_only=True)
    fresh: dict[str, Any] = {**new.policies, **new.extras}
    fresh[case.entry.name if case.entry.kind == "extra" else case.entry.kind].load_state_dict(kept)
    for index in range(steps // 2, steps):
        step = case.schedule.step(index)
        one, other = ((draws_of(b, step), b.lr_at(step)) for b in (old, new))
        if one != other:
            raise Breach("with its memory put back it answers otherwise", step=index)


@clause(
    "processes agree",
    *RUNS,
    expected="draws and rates are the same in every process (no hash(), process id, clock, rank)",
)
def processes_agree(case: Case) -> None:
    """A plan made by another process, under another hash seed and rank, tells the same."""
    only(_elsewhere(case), "a notebook's class cannot be handed to another process")
    only(case.pure, "the policy says that it learns")
    steps = ",".join(map(str, range(case.schedule.steps)))
    words = [*shlex.split(shell_line(case.asked()))[2:], "--json", "--steps", steps]
    env = {**os.environ, "PYTHONHASHSEED": "7", "LOCAL_RANK": "1"}
    done = _python(["-m", "ofa_bench", "plan", *words], env)
    bus = case.assembly.bus
    for told in json.loads(done)["draws"]:
        step = case.schedule.step(told["step"])
        theirs = [(draw["role"], draw["subnet"], draw["share"]) for draw in told["draws"]]
        ours = [
            (draw.role.value, draw.subnet.to_json(), bus.lr_share(step, draw))
            for draw in draws_of(bus, step)
        ]
        if (theirs, told["lr"]) != (ours, bus.lr_at(step)):
            raise Breach("another process answers otherwise", step=step.index)


def _elsewhere(case: Case) -> bool:
    return bool(case.subject.file or case.entry.origin.distribution)


def _python(words: list[str], env: dict[str, str]) -> str:
    command = [sys.executable, *words]
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        told = [line for line in done.stderr.strip().splitlines() if line.startswith("error")]
        raise Breach((told or done.stderr.strip().splitlines() or ["it failed"])[-1])
    return done.stdout


@clause(
    "a resume agrees",
    *RUNS,
    expected="a run stopped twice ends with the weights of an undisturbed one, to the bit",
    trains=True,
)
def a_resume_agrees(case: Case) -> None:
    """Twelve steps with batch norm, stopped near the beginning and near the end."""
    with tempfile.TemporaryDirectory() as folder:
        whole = trained(case, Path(folder) / "whole")
        cut = Path(folder) / "cut"
        for halt in (2, 7):
            try:
                trained(case, cut, halt)
            except Interrupted:
                continue
        again = trained(case, cut)
    if again.weights_sha256 != whole.weights_sha256:
        raise Breach("the weights differ: something besides the step decides what it answers")


@clause(
    "ranks agree",
    *RUNS,
    expected="two ranks train the weights that one does, up to the order of sums",
    trains=True,
)
def ranks_agree(case: Case) -> None:
    """Under torchrun with gloo, each rank half of the micro-batches."""
    only(_elsewhere(case), "a notebook's class cannot be handed to another process")
    with tempfile.TemporaryDirectory() as folder:
        one, two = Path(folder) / "one", Path(folder) / "two"
        trained(case, one)
        asked = replace(case.asked(epochs=SHORT), results=str(two))
        words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        words += ["-m", "ofa_bench", "run", *shlex.split(shell_line(asked))[2:]]
        _python(words, {**os.environ, "OMP_NUM_THREADS": "1"})
        apart, name = _distance(one, two)
    if apart > CLOSE:
        raise Breach(f"the weights differ by up to {apart:.3g}, in {name}")


def _distance(one: Path, two: Path) -> tuple[float, str]:
    from safetensors.torch import load_file

    ours, theirs = (load_file(str(next(f.glob("runs/*/weights.safetensors")))) for f in (one, two))
    return max((float((ours[name] - theirs[name]).abs().max()), name) for name in ours)
