"""Clauses that train: a resume and a second rank give what an undisturbed run gives."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
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
    from torch import Tensor

    from ofa_bench.engine.signals import Stop
    from ofa_bench.recipe import Request
    from ofa_bench.records.schema import Record

RUNS = ("shrink", "lr", "distill", "extra", "method")
SHORT = 0.6  # epochs: a dozen steps, enough for a phase each
RATE = 1e-4  # so small that the net stays near where it began, and rounding does not grow
PATIENCE = 120  # seconds until another process counts as stuck
CLOSE = 1e-2  # of the way that weights went; sums in another order make a thousandth of it


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

    stop = Stop()
    with open_devices("cpu") as devices:
        prepared = prepare(short(case, folder), case.catalogue, devices)
        return carry_out(prepared, case.catalogue, stop, Halting(stop, halt), "plugin check")


def short(case: Case, folder: Path) -> Request:
    """A run of a dozen steps."""
    assert case.assembly
    own = case.asked()
    return replace(own, epochs=SHORT, results=str(folder), set=(*own.set, f"optim.lr={RATE}"))


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
        listens = any(hasattr(case.cls, hook) for hook in ("after_step", "after_eval"))
        only(listens and not getattr(own, "pure", True), "it keeps no memory")
        raise Breach("it learns from what it is told, but has no state_dict and load_state_dict")
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
    done = _started(["-m", "ofa_bench", "plan", *words], env)
    if done.returncode:
        raise Breach(f"in another process: {json.loads(done.stdout)['error']}")
    bus = case.assembly.bus
    for told in json.loads(done.stdout)["draws"]:
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


def _started(words: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *words]
    return subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=300, check=False
    )


@clause(
    "a resume agrees",
    *RUNS,
    expected="a run stopped twice ends with the weights of an undisturbed one, to the bit",
    trains=True,
)
def a_resume_agrees(case: Case) -> None:
    """Twelve steps with batch norm, stopped near the beginning and near the end."""
    cut = case.crew.folder(case, "cut")
    for halt in (2, 7):
        with suppress(Interrupted):
            trained(case, cut, halt)
    if trained(case, cut).weights_sha256 != case.crew.whole(case).weights_sha256:
        raise Breach("the weights differ: something besides the step decides what it answers")


@clause(
    "ranks agree",
    *RUNS,
    expected="two ranks train the weights that one does, up to the order of sums",
    trains=True,
)
def ranks_agree(case: Case) -> None:
    """Under torchrun with gloo, each rank half of the micro-batches; a rank that drew or learned
    something of its own would lead a good part of the way elsewhere."""
    only(_elsewhere(case), "a notebook's class cannot be handed to another process")
    case.crew.whole(case)
    if trouble := case.crew.together(case):
        raise Breach(f"under torchrun it fails: {trouble}")
    folders = [case.crew.folder(case, kind) for kind in ("whole", "together")]
    apart, name = _apart(_beginning(case), *folders)
    if apart > CLOSE:
        raise Breach(f"the weights differ by up to {apart:.2g} of the way they went, in {name}")


def _beginning(case: Case) -> dict[str, Tensor]:
    """The weights that a case's runs begin with."""
    from ofa_bench.engine.carry import build_net
    from ofa_bench.engine.devices import open_devices

    with open_devices("cpu") as devices:
        net = build_net(case.assembly, case.catalogue, devices)
    return {name: parameter.detach() for name, parameter in net.named_parameters()}


def _apart(start: Mapping[str, Tensor], one: Path, two: Path) -> tuple[float, str]:
    """The largest difference of a weight, as a share of the farthest any weight went, and whose."""
    from safetensors.torch import load_file

    ours, theirs = (load_file(str(next(f.glob("runs/*/weights.safetensors")))) for f in (one, two))
    way = max(float((ours[name] - start[name]).abs().max()) for name in start)
    most, name = max((float((ours[name] - theirs[name]).abs().max()), name) for name in start)
    return (most / way if way else float(most > 0)), name


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        open_ones = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in open_ones:
            each.bind(("localhost", 0))
        return [int(each.getsockname()[1]) for each in open_ones]


class Crew:
    """The short runs of one plugin: each undisturbed run once, and all runs of two ranks in one
    start of torchrun, since that takes longer than they do."""

    def __init__(self) -> None:
        self.cases: list[Case] = []
        self._place = tempfile.TemporaryDirectory()
        self._whole: dict[str, Record] = {}
        self._together: dict[str, str] = {}

    def folder(self, case: Case, kind: str) -> Path:
        """Where a case's runs of a kind lie."""
        return Path(self._place.name) / f"{case.entry.kind}-{case.entry.name}" / kind

    def whole(self, case: Case) -> Record:
        """The undisturbed run."""
        if str(case) not in self._whole:
            self._whole[str(case)] = trained(case, self.folder(case, "whole"))
        return self._whole[str(case)]

    def together(self, case: Case) -> str:
        """What went wrong on two ranks; "" where nothing did."""
        while str(case) not in self._together:
            waiting = [each for each in self.cases if str(each) not in self._together]
            self._launch(waiting if case in waiting else [case, *waiting])
        return self._together[str(case)]

    def _launch(self, cases: Sequence[Case]) -> None:
        """Run cases until one fails, which ends the process; the others are run anew."""
        asked = [short(case, self.folder(case, "together")) for case in cases]
        ports = _free_ports(len(cases))
        jobs = [{**vars(each), "port": port} for each, port in zip(asked, ports, strict=True)]
        file = Path(self._place.name) / "jobs.json"
        file.write_text(json.dumps(jobs))
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = _started([*launch, "-m", "ofa_bench.testing.rank", str(file)], env)
        told = re.findall(r"^(done|failed) (\d+) ?(.*)$", done.stdout, re.M)
        for how, number, why in told:
            self._together[str(cases[int(number)])] = why if how == "failed" else ""
        if not told:
            lines = done.stderr.strip().splitlines()
            self._together[str(cases[0])] = lines[-1] if lines else "torchrun does not start"
