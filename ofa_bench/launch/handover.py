"""Which runs of a comparison are done, failed, running or queued, and the submission of the rest.

Torch-free: a submission takes seconds. What is done is known from answers of tasks, and its record
is read; what is queued or running is the launcher's to say.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ofa_bench.errors import BenchError, UsageError
from ofa_bench.launch.folder import (
    LaunchFolder,
    RunAnswer,
    TaskAnswer,
    family_file,
    family_words,
    variables,
)
from ofa_bench.launch.launcher import LaunchBatch, Launcher, LaunchTask, QueueSilent, QueueState
from ofa_bench.locks import exclusive
from ofa_bench.planning.assemble import Assembly
from ofa_bench.planning.identity import identify
from ofa_bench.planning.shared_prefix import Beginning, families
from ofa_bench.recipe import Request
from ofa_bench.records.store import Store, StoredRecord, read
from ofa_bench.seeding import digest

State = Literal["done", "failed", "running", "queued", "stopped", "missing"]
STATES: tuple[State, ...] = ("done", "failed", "running", "queued", "stopped", "missing")
STOPPED = (130, 143)  # exit codes of a task that was asked to stop


@dataclass(frozen=True)
class LaunchedRun:
    """One run of a comparison, and what is known of it."""

    key: str
    title: str
    asked: Request
    assembly: Assembly
    state: State = "missing"
    job: str = ""
    detail: str = ""
    entry: StoredRecord | None = None


def survey(
    runs: Sequence[LaunchedRun], store: Store, launcher: Launcher, *, ask: bool = True
) -> list[LaunchedRun]:
    """The runs with their states, in order. Without `ask`, no queue is asked.

    `missing`: never submitted; `stopped`: it was, and is no longer queued, and no answer says how
    it ended. Without a queue there is no telling these apart, and all are missing. Raises
    BenchError where the queue cannot be asked.
    """
    folder, wanted = LaunchFolder(store.results), {run.key for run in runs}
    tasks = [
        (batch.name, number, task)
        for batch in folder.batches()
        for number, task in enumerate(batch.tasks)
        if wanted & set(task.runs)
    ]
    answers = {task.key: folder.answer(task.key) for _, _, task in tasks}
    surveyed = []
    for run in runs:
        mine = [(name, number, task.key) for name, number, task in tasks if run.key in task.runs]
        texts = [
            (answer, folder.path(key, "log"))
            for _, _, key in mine
            if (answer := answers[key]) is not None
        ]
        surveyed.append(_ended(run, store, texts, submitted=bool(mine) and launcher.queues))
    open_runs = {run.key for run in surveyed if run.state != "done"}
    names = {name for name, _, task in tasks if open_runs & set(task.runs)}
    queue = launcher.states(names) if ask and names else {}
    by_run: dict[str, QueueState] = {}
    for name, number, task in tasks:
        for key in task.runs if (name, number) in queue else ():
            if key not in by_run or by_run[key].state == "ended":  # one that goes on counts more
                by_run[key] = queue[name, number]
    return [_queued(run, by_run.get(run.key)) for run in surveyed]


def _ended(
    run: LaunchedRun, store: Store, answers: Sequence[tuple[TaskAnswer, Path]], *, submitted: bool
) -> LaunchedRun:
    """As the answers of its tasks, with their logs, say; a record counts more than an error."""
    lines = [line for answer, _ in answers for line in answer.runs if line.key == run.key]
    for line in lines:
        entry = _record(run, store, line)
        if entry is not None:
            return replace(run, state="done", entry=entry)
    for line in lines[::-1]:
        if line.error is not None:
            return replace(run, state="failed", detail=line.error)
    for answer, log in answers[::-1]:
        if answer.error is not None and answer.exit not in STOPPED:
            return replace(run, state="failed", detail=f"{answer.error}; its log: {log}")
    entry = None if submitted else _earlier(run, store)
    if entry is not None:
        return replace(run, state="done", entry=entry)
    return replace(run, state="stopped" if submitted else "missing")


def _earlier(run: LaunchedRun, store: Store) -> StoredRecord | None:
    """A record of the same run that no launch made, where that can be told without the images."""
    assembly, asked = run.assembly, run.asked
    if assembly.spec.layout != "embedded" or asked.init or asked.teacher:
        return None
    identity, science = identify(assembly, "", {}), assembly.science
    name = identity.name.rpartition("-")[0]
    folder = store.path_of(science.dataset, science.method, name).parent
    for path in sorted(folder.glob(f"{name}-*.json")):
        entry = _record(run, store, RunAnswer(key=run.key, run=path.stem))
        record = entry.record if entry else None
        if record is None or record.identity is None or record.identity.files:
            continue
        alike = record.science == science.model_dump(mode="json")
        if alike and record.identity.code == identity.hashed.code:
            return entry
    return None


def _record(run: LaunchedRun, store: Store, line: RunAnswer) -> StoredRecord | None:
    """The record that an answer names, where it is there and of this recipe, seed and space."""
    if line.run is None:
        return None
    science = run.assembly.science
    path = store.path_of(science.dataset, science.method, line.run)
    try:
        record = read(path)
    except UsageError:
        return None
    fits = record.run.id == line.run and record.seed == run.assembly.recipe.seed
    fits = fits and record.task.space.fingerprint == run.assembly.space.fingerprint()
    fits = fits and _comparable(record.science) == _comparable(science.model_dump(mode="json"))
    return StoredRecord(path, record) if fits and record.status == "ok" else None


def _comparable(science: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe without what images decide (a small set's batch) and where a space's table lies."""
    optim = {**science.get("optim", {}), "batch": None, "norm_batch": None}
    return {**science, "optim": optim, "space": None}


def _queued(run: LaunchedRun, queue: QueueState | None) -> LaunchedRun:
    if run.state == "done" or queue is None:
        return run
    if queue.state == "ended":
        return replace(run, job=queue.job, detail=run.detail or queue.detail)
    return replace(run, state=queue.state, job=queue.job, detail=queue.detail)


def to_submit(runs: Sequence[LaunchedRun], retry: bool) -> list[LaunchedRun]:
    """Those that nobody works on: failed ones only with `retry`."""
    again = ("missing", "stopped", *(("failed",) if retry else ()))
    return [run for run in runs if run.state in again]


def batch_of(
    runs: Sequence[LaunchedRun], store: Store, launcher: str, rates: Mapping[str, float]
) -> LaunchBatch:
    """The tasks of runs, one a family. Raises UsageError for a path that no script should hold."""
    folder = LaunchFolder(store.results)
    groups = families([Beginning(run.assembly) for run in runs])
    keys = [digest(*(runs[number].key for number in group))[:16] for group in groups]
    # A queue lists the jobs of all users and folders by their names.
    user = str(getattr(os, "getuid", str)())
    stem = f"ofa-bench-{digest(launcher, str(folder.root.absolute()), user, *keys)[:8]}"
    earlier = [batch.name for batch in folder.batches() if batch.name.startswith(stem)]
    name = f"{stem}-{1 + max((int(text.rpartition('-')[2]) for text in earlier), default=0)}"
    tasks = []
    for key, group in zip(keys, groups, strict=True):
        family = [runs[number] for number in group]
        asked = [run.asked for run in family]
        words = family_words(asked, folder.path(key, "toml"), store.results)
        macs = sum(cost.total for run in family for cost in run.assembly.cost)
        titles = tuple(run.title for run in family)
        answer, log = folder.path(key, "json"), folder.path(key, "log")
        members = tuple(run.key for run in family)
        tasks.append(LaunchTask(key, members, titles, words, answer, log, macs))
    settings = variables(os.environ)
    batch = LaunchBatch(
        name, folder.root.absolute(), Path.cwd(), tuple(tasks), settings, dict(rates)
    )
    return batch.checked()


def hand_over(
    runs: Sequence[LaunchedRun], batch: LaunchBatch, store: Store, name: str, launcher: Launcher
) -> str:
    """Write the families' files and the script, and submit; what the launcher calls the job.

    The batch is listed before it is submitted: if this process dies in between, the queue is asked
    for it by its name. Raises BenchError where the queue does not take it.
    """
    folder = LaunchFolder(store.results)
    folder.make()
    by_key = {run.key: run.asked for run in runs}
    listed = []
    for task in batch.tasks:
        folder.write(task.key, "toml", family_file([by_key[key] for key in task.runs]))
        if launcher.queues:  # a printed line empties its answer itself
            task.answer.unlink(missing_ok=True)
        listed.append({"key": task.key, "runs": list(task.runs)})
    script = folder.write(batch.name, "sh", launcher.script(batch))
    document = {"name": batch.name, "launcher": name, "tasks": listed, "at": time.time()}
    listing = folder.write(batch.name, "json", json.dumps(document, indent=1) + "\n")
    try:
        return launcher.submit(batch, script)
    except QueueSilent:  # it may have taken the batch all the same
        raise
    except BenchError:
        listing.unlink(missing_ok=True)
        raise


def locked(store: Store) -> AbstractContextManager[bool]:
    """One submission at a time: a second one sees what the first has submitted."""
    folder = LaunchFolder(store.results)
    folder.make()
    return exclusive(folder.root / "lock", subject=str(folder.root))
