"""Run a comparison in parallel, a process per device; runs that begin alike stay in order."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing import get_context, set_start_method
from queue import Empty
from typing import TYPE_CHECKING, Any

from ofa_bench.errors import BenchError, Interrupted
from ofa_bench.processes import STOP_SIGNALS, stop_with_parent

if TYPE_CHECKING:
    from ofa_bench.planning.assemble import Assembly
    from ofa_bench.recipe import Request
    from ofa_bench.records.store import Store
    from ofa_bench.runs.comparison import Outcomes

LOOK_EVERY = 1.0  # seconds between looks at whether the processes still live


def check_devices(devices: Sequence[str]) -> None:
    """Raise UsageError for a GPU that is not here, before a process is started for any."""
    if all(name == "cpu" for name in devices):
        return
    from ofa_bench.training.devices import resolve_device

    for name in devices:
        resolve_device(name)


def families(runs: Sequence[tuple[Request, Assembly]]) -> list[list[Request]]:
    """The runs by their first step: those that may share a beginning, in order."""
    from ofa_bench.planning import shared_prefix

    groups = shared_prefix.families([shared_prefix.Beginning(assembly) for _, assembly in runs])
    return [[runs[number][0] for number in group] for group in groups]


def run_in_parallel(
    runs: Sequence[tuple[Request, Assembly]], store: Store, devices: Sequence[str]
) -> Outcomes:
    """As `compare.run_watched`, on all devices at once; records come in the order they are done.

    BenchError where a process dies; Interrupted once all of them have saved their state.
    """
    from ofa_bench.training.interrupts import listening

    context = get_context("spawn")
    tasks, answers = context.Queue(), context.Queue()
    waiting = families(runs)
    first = 1
    for family in waiting:
        tasks.put((first, len(runs), family))
        first += len(family)
    for _ in devices:
        tasks.put(None)
    shared = (len(devices), store, tasks, answers)
    workers = [context.Process(target=_work, args=(device, *shared)) for device in devices]
    try:
        with listening():
            for worker in workers:
                worker.start()
            entries, failures = [], []
            for _ in waiting:
                answer = _next(answers, workers)
                if isinstance(answer, BenchError):
                    raise answer
                entries += answer[0]
                failures += answer[1]
            return entries, failures
    except Interrupted as error:
        hint = "state is saved; the same line goes on with all of them"
        raise Interrupted(error.message, hint) from error
    finally:
        _end([worker for worker in workers if worker.pid is not None], answers)


def _end(workers: Sequence[Any], answers: Any) -> None:
    """Ask all to stop: a run that is under way saves its state first. What they still answer is
    read, for a process ends only once its words are taken."""
    for worker in workers:
        if worker.is_alive():
            worker.terminate()
    for worker in workers:
        while worker.is_alive():
            with suppress(Empty):
                answers.get(timeout=LOOK_EVERY)
        worker.join()


def _next(answers: Any, workers: Sequence[Any]) -> Any:
    while True:
        codes = [worker.exitcode for worker in workers]  # asked first: what ended has answered
        try:
            return answers.get(timeout=LOOK_EVERY)
        except Empty:
            failed = next((code for code in codes if code), 0)
            if failed or None not in codes:
                raise BenchError(
                    f"a process that trains ended (exit code {failed}) without an answer",
                    "the same line goes on with what is missing; fewer --devices need less memory",
                ) from None


def _work(device: str, beside: int, store: Store, tasks: Any, answers: Any) -> None:
    """One device's process of `beside`: families of runs until there are no more."""
    os.environ.setdefault("LOCAL_WORLD_SIZE", str(beside))  # by which cores are divided
    # A terminal signals the whole group; this process is asked to stop by its parent's SIGTERM.
    signal.pthread_sigmask(signal.SIG_BLOCK, set(STOP_SIGNALS) - {signal.SIGTERM})
    stop_with_parent()
    set_start_method(None, force=True)  # loader workers as in any run: a spawned one imports torch
    from ofa_bench import api
    from ofa_bench.cli import console
    from ofa_bench.cli.allocator import settle
    from ofa_bench.cli.commands.training import compare
    from ofa_bench.cli.main import explained
    from ofa_bench.cli.streams import outlive_streams
    from ofa_bench.planning.assemble import assemble

    outlive_streams()
    settle(device)
    with console.speaking(as_json=True, heard=True):
        while (task := tasks.get()) is not None:
            first, total, family = task
            asked = [replace(item, device=device) for item in family]
            try:
                runs = [(item, assemble(item, api.catalogue_for(item))) for item in asked]
                answers.put(compare.run_watched(runs, store, first=first, total=total))
            except Exception as error:
                answers.put(error if isinstance(error, BenchError) else explained(error))
                return
