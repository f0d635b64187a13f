"""Run one training job end to end: open data, train, evaluate, write the record."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch

from ofa_bench.atomic_io import write_whole
from ofa_bench.data.sources.source import BatchSource
from ofa_bench.errors import DataError, PluginError, RankFailed, TrainingDiverged, UsageError
from ofa_bench.evaluation.exact_math import shielded
from ofa_bench.hooks.catalogue import Catalogue
from ofa_bench.planning.assemble import Assembly
from ofa_bench.planning.identity import NAMED, RunIdentity, alike, identify
from ofa_bench.planning.shared_prefix import Beginning, Shared, shared_folder
from ofa_bench.recipe import Request
from ofa_bench.recipe.fingerprint import decoder_id
from ofa_bench.records.extra_metrics import beside, gathered
from ofa_bench.records.parts import Ancestor
from ofa_bench.records.schema import Record
from ofa_bench.records.staging import recover
from ofa_bench.records.store import Store, read
from ofa_bench.runs import final_evaluation
from ofa_bench.runs.build_record import record_of
from ofa_bench.runs.folder import read_begun, refuse_links, write_begun
from ofa_bench.runs.open_images import opened
from ofa_bench.runs.readiness import make_ready
from ofa_bench.space import Space
from ofa_bench.training.callbacks import EventLog, Progress, Trace
from ofa_bench.training.checkpoint import Checkpoints, lock
from ofa_bench.training.cost_ledger import Ledger
from ofa_bench.training.devices import Devices, open_devices
from ofa_bench.training.interrupts import Stop, listening
from ofa_bench.training.loop import Loop
from ofa_bench.training.state import State
from ofa_bench.training.weights import epsilon_note, load_weights, save_weights, start_from
from ofa_bench.weight_files.ancestry import ancestor_of

ENDED = ("ok", "diverged", "imported")
Stage = Literal["all", "train", "evaluate"]  # "evaluate" refuses where training is not done


@contextmanager
def session(device: str, deterministic: bool = False) -> Iterator[tuple[Stop, Devices]]:
    """What a run needs around it: torch's own settings, this process's device and rank, and a stop
    flag that signals set. Inside, a signal may cut off anywhere, and raises Interrupted."""
    with (
        shielded(deterministic),
        listening() as stop,
        open_devices(device) as devices,
        stop.anywhere(),
    ):
        yield stop, devices


@dataclass
class RunContext:
    """A run before its first step: assembled with the opened data, with identity and folder."""

    request: Request
    assembly: Assembly
    devices: Devices
    source: BatchSource
    identity: RunIdentity
    folder: Path
    store: Store
    shared: Shared | None = None
    ancestor: Ancestor | None = None
    stage: Stage = "all"

    @property
    def finished(self) -> Record | None:
        """The record of this run if it finished or diverged, else None. The first rank reads it
        for all."""
        record: Record | None = self.devices.share(self._recorded() if self.devices.first else None)
        return record

    def _recorded(self) -> Record | None:
        recover(self.store.results)
        for path in sorted(self.store.root.glob(f"*/*/*-{self.identity.run[:NAMED]}.json")):
            with suppress(UsageError):
                record = read(path)
                if record.run_id == self.identity.run and record.status in ENDED:
                    return record
        return None

    def check_free(self) -> None:
        """Raise BenchError if the record could not be stored at the end, or the run's folder
        contains a symbolic link."""
        if not self.devices.first:
            return
        science = self.assembly.science
        refuse_links(self.folder)
        self.store.check_free(science.dataset, science.method, self.identity.name)


def prepare(
    request: Request,
    catalogue: Catalogue,
    devices: Devices,
    leave: frozenset[int] | None = None,
    family: str = "",
    adopted: str | None = None,
    progress: Progress | None = None,
) -> RunContext:
    """Assemble, open the data, assemble again with its counts, and identify the run.

    `leave`: steps at which the state is saved for runs with the same first steps, of the `family`
    that the comparison calls so; None: no sharing. `adopted`: the hash of weights that were trained
    elsewhere. It is part of the identity, so that no run which begins with the same weights is
    taken for this one. `progress` is called while files are listed and hashed.
    """
    assembly, source = opened(request, catalogue, devices, progress)
    starts = (("init", request.init, request.init_head), ("teacher", request.teacher, None))
    files = {name: start_from(path, head or "file") for name, path, head in starts if path}
    files |= {"adopted": adopted} if adopted else {}
    decoder = decoder_id(*source.decoder) if source.decoder else None
    identity = identify(assembly, source.hash, files, decoder)
    results = Path(assembly.recipe.execution.results)
    folder = results / "runs" / identity.name
    shared = None
    if leave is not None:
        salt = f"{source.hash} {files} {torch.get_num_threads()}"
        shared = Shared(shared_folder(results) / family, Beginning(assembly), salt, leave)
    devices.agree(alike(assembly, source, identity, files))
    store = Store(results)
    ancestor = ancestor_of(assembly.recipe.execution.init)
    return RunContext(request, assembly, devices, source, identity, folder, store, shared, ancestor)


def execute(prepared: RunContext, stop: Stop, progress: Progress, command: str) -> Record | None:
    """Train from the last checkpoint, evaluate, and store one record; None after training alone.

    Raises Interrupted (state saved), TrainingDiverged or PluginError (recorded), ResumeError.
    """
    with ExitStack() as held:
        if prepared.devices.first:
            held.enter_context(lock(prepared.folder, progress.note))
        held.callback(prepared.source.close)
        try:
            return _locked(prepared, stop, progress, command)
        except (DataError, RankFailed) as error:  # checkpoints stay, so that the run can be resumed
            error.hint = "; ".join(filter(None, (error.hint, stop.hint)))
            raise


def _locked(prepared: RunContext, stop: Stop, progress: Progress, command: str) -> Record | None:
    started = _describe_run(prepared, command)
    make_ready(prepared, stop, progress)
    state = state_of(prepared, stop, progress)
    pure = all(policy.pure for policy in prepared.assembly.recipe.policies.values())
    world = prepared.devices.world
    log = EventLog(prepared.folder / "events.jsonl", draws=not pure, world=world)
    if prepared.devices.first:
        prepared.assembly.bus.observe("event log", log)
    if os.environ.get("OFA_BENCH_TRACE", "") not in ("", "0"):
        trace = Trace(lambda hook, who, micros: progress.note(f"{hook} of {who}: {micros:.0f} µs"))
        prepared.assembly.bus.monitor(trace.before, trace.after)
    prepared.assembly.bus.watchers.tell = progress.note
    run_fields = {"started": started, "command": command}
    try:
        Loop(state).run(train=prepared.stage != "evaluate")
    except (TrainingDiverged, PluginError) as error:
        status = "diverged" if isinstance(error, TrainingDiverged) else "failed"
        record = record_of(prepared, state, run_fields, status, error=error)
        if prepared.devices.first:
            prepared.store.write(record)
        raise
    finally:
        log.close()
    if prepared.devices.first:
        weights = prepared.folder / "weights.safetensors"
        save_weights(state.net, weights, prepared.source.class_names)
    return None if prepared.stage == "train" else _finish(prepared, state, run_fields)


def _finish(prepared: RunContext, state: State, run_fields: dict[str, str]) -> Record:
    judgement = final_evaluation.judge(state)
    record = record_of(prepared, state, run_fields, "ok", judgement=judgement)
    if prepared.devices.first:
        prepared.store.write(record, judgement.bits)
    prepared.assembly.bus.run_end(record.model_dump(mode="json", by_alias=True))
    if prepared.devices.first:
        if readings := gathered(prepared.folder):
            write_whole(beside(prepared.store.path(record)), readings)
        state.checkpoints.clear()
        final_evaluation.forget_scores(prepared.folder)
    return record


def _describe_run(prepared: RunContext, command: str) -> str:
    """Write `run.json`, or read the thread count from it; return the start time of the run.

    Results depend on the thread count, so a resumed run keeps it.
    """
    folder = prepared.folder
    if (folder / "run.json").exists() and not prepared.request.fresh:
        begun = read_begun(folder)
        if begun.run_id == prepared.identity.run:
            torch.set_num_threads(prepared.devices.share(begun.threads))
            return begun.started
    # Ranks that do not see the file use the first rank's count too.
    torch.set_num_threads(prepared.devices.share(torch.get_num_threads()))
    started = datetime.now(UTC).isoformat(timespec="seconds")
    if not prepared.devices.first:
        return started
    if prepared.request.fresh:
        Checkpoints(folder / "checkpoint", 0).clear()
        final_evaluation.forget_scores(folder)
    write_begun(prepared, command, torch.get_num_threads(), started)
    return started


def state_of(prepared: RunContext, stop: Stop, progress: Progress) -> State:
    """The initial training state of a prepared run."""
    assembly, devices = prepared.assembly, prepared.devices
    execution = assembly.recipe.execution
    net = build_net(assembly, devices)
    if execution.init and (note := load_weights(net, execution.init, execution.init_head)):
        progress.note(note)
    if execution.init and (note := epsilon_note(net, execution.init)):
        progress.note(note)
    state = State(
        assembly=assembly,
        devices=devices,
        net=net,
        source=prepared.source,
        folder=prepared.folder,
        run_id=prepared.identity.run,
        checkpoints=Checkpoints(
            prepared.folder / "checkpoint",
            execution.checkpoint_seconds,
            exactly="checkpoint_seconds" in execution.model_fields_set,
        ),
        ledger=Ledger(assembly.space, assembly.classes, devices.world),
        stop=stop,
        progress=progress,
        shared=prepared.shared,
    )
    if execution.teacher:
        state.give_teacher(build_net(assembly, devices), execution.teacher)
    return state


def build_net(assembly: Assembly, devices: Devices) -> Any:
    """The supernet of the space, initialised with the run's seed, on the device."""
    space, options = assembly.space, assembly.science.net.model_dump()
    if (eps := options.pop("norm_eps", None)) is not None:
        table = replace(space.table, norm_eps=eps)
        space = Space(table, space.options, space.resolutions)
    build = assembly.network.load()
    return build(space, assembly.classes, seed=assembly.recipe.seed, **options).to(devices.device)
