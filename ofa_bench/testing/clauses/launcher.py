"""Clauses on launchers: what the script of tasks holds, and that showing it starts nothing."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from ofa_bench.errors import BenchError
from ofa_bench.launch.launcher import LaunchBatch, Launcher, LaunchTask
from ofa_bench.testing.case import Case
from ofa_bench.testing.source_lines import line_of
from ofa_bench.testing.verdict import Breach, DoesNotApply, clauses

PAGE = "docs/cluster.md"
ODD = ("a b", "it's", "$(touch hurt)", "`touch hurt`", "x;touch hurt", '"', "100%", "~", "*")
LIKELY = {"gpus": 0, "devices": ("cpu",)}  # options that launchers ask for
on_launchers = clauses("launcher", page=PAGE)


def _made(case: Case) -> Launcher:
    """The launcher with its defaults, and values for options that it cannot do without."""
    model: Any = case.cls.Options
    needed = [name for name, field in model.model_fields.items() if field.is_required()]
    if missing := [name for name in needed if name not in LIKELY]:
        raise DoesNotApply(f"there is no telling what its option {missing[0]} may be")
    launcher: Launcher = case.cls(model(**{name: LIKELY[name] for name in needed}))
    return launcher


def _batch(folder: Path) -> LaunchBatch:
    """Two tasks, with words that a shell would take for something else."""
    tasks = tuple(
        LaunchTask(
            key=f"{number:016x}",
            runs=(f"{number:016x}",),
            titles=(f"run {number}",),
            words=("compare", str(folder / f"family {number}.toml"), *ODD),
            answer=folder / f"answer {number}.json",
            log=folder / f"log {number}",
        )
        for number in range(2)
    )
    return LaunchBatch("ofa-bench-0123abcd-1", folder, folder, tasks, {"OFA_BENCH_DATA": "a b"})


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@on_launchers(
    "the script names every task's command, quoted",
    "script(batch) is a text; a shell reads the words of each task from it as they are",
)
def script_is_quoted(case: Case) -> None:
    """Paths with blanks and dollars are paths."""
    launcher = _made(case)
    with _folder() as folder:
        batch = _batch(folder)
        text = launcher.script(batch)
    if not isinstance(text, str):
        raise Breach(f"it is {text!r}", where=line_of(case.cls, "script"))
    for task in batch.tasks:
        for what, words in (("words", task.words), ("answer", (str(task.answer),))):
            if shlex.join(words) not in text:
                raise Breach(
                    f"the {what} of a task are not in it: {shlex.join(words)}",
                    where=line_of(case.cls, "script"),
                )


@on_launchers(
    "the script is the same each time",
    "script(batch) twice gives one text: --dry-run shows what is submitted",
)
def script_repeats(case: Case) -> None:
    """Neither times nor random names."""
    with _folder() as folder:
        texts = {_made(case).script(_batch(folder)) for _ in range(2)}
    if len(texts) > 1:
        raise Breach("two calls gave two texts", where=line_of(case.cls, "script"))


@on_launchers(
    "showing the script starts nothing", "script(batch) starts no process and writes no file"
)
def script_starts_nothing(case: Case) -> None:
    """A dry run is dry."""
    launcher = _made(case)
    where = line_of(case.cls, "script")
    with _folder() as folder, mock.patch.object(subprocess, "Popen") as started:
        launcher.script(_batch(folder))
        if started.called:
            raise Breach(f"it started {started.call_args.args[0]!r}", where=where)
        if files := sorted(path.name for path in folder.iterdir()):
            raise Breach(f"it wrote {files[0]}", where=where)


@on_launchers(
    "no tasks, no states",
    "states([]) is an empty mapping; of batches that never were, there is no state",
)
def unknown_batches_have_no_state(case: Case) -> None:
    """A task that is not queued is submitted."""
    launcher = _made(case)
    if dict(launcher.states([])):
        raise Breach("states([]) is not empty", where=line_of(case.cls, "states"))
    try:
        states = dict(launcher.states(["ofa-bench-00000000-1"]))
    except BenchError as error:
        raise DoesNotApply(f"its queue is not here: {error.message}") from error
    if states:
        raise Breach(f"it has {next(iter(states))}", where=line_of(case.cls, "states"))
