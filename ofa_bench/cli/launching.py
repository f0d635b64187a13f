"""How a comparison's runs are carried out: here, side by side on devices, or by a launcher."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from ofa_bench.cli import console
from ofa_bench.cli.comparison import devices_option, yes_option
from ofa_bench.errors import BenchError, UsageError
from ofa_bench.processes import several_ranks

if TYPE_CHECKING:
    from ofa_bench.launch.handover import LaunchedRun
    from ofa_bench.launch.launcher import LaunchBatch, Launcher
    from ofa_bench.recipe import Request
    from ofa_bench.records.store import Store, StoredRecord
    from ofa_bench.runs.comparison import Planned

Runs = list["Planned"]
RETRY = "--retry submits again what failed"


@dataclass(frozen=True)
class Manner:
    """What the options of `many_runs_options` say."""

    devices: tuple[str, ...] | None = None
    launch: str | None = None
    dry_run: bool = False
    retry: bool = False
    yes: bool = False
    as_json: bool = False


@dataclass
class Carried:
    """What became of the runs: records, errors by title, and what a JSON answer says beside them.

    `waiting`: how many runs are still to come from a launcher.
    """

    entries: list[StoredRecord]
    failures: list[tuple[str, BenchError]]
    more: dict[str, Any] = field(default_factory=dict)
    waiting: int = 0


OPTIONS = (
    devices_option,
    click.option("--launch", metavar="FILE.toml", help="Hand the runs to a cluster, and return."),
    click.option("--dry-run", is_flag=True, help="With --launch: print the script alone."),
    click.option("--retry", is_flag=True, help="With --launch: submit again what failed."),
    yes_option,
)


def many_runs_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that trains many runs and has --json; it is called with `manner`, a
    Manner."""

    @functools.wraps(command)
    def called(*words: Any, **values: Any) -> Any:
        names = Manner.__dataclass_fields__
        manner = Manner(**{name: values.pop(name) for name in names})
        return command(*words, manner=manner, **values)

    for option in reversed(OPTIONS):
        called = option(called)
    return called


def check_manner(manner: Manner, every: Sequence[dict[str, Any]]) -> Launcher | None:
    """The launcher, where one is named. Raises UsageError for options that exclude each other, for
    a site's file that is wrong and for a GPU that is not here."""
    from ofa_bench.cli import parallel_runs

    if manner.launch is None:
        if manner.dry_run or manner.retry:
            option = "--dry-run" if manner.dry_run else "--retry"
            raise UsageError(f"{option} needs --launch FILE.toml", "name the site's file")
        parallel_runs.check_devices(manner.devices or ())
        return None
    if several_ranks():
        raise UsageError("--launch starts ranks itself", "call it without torchrun")
    if manner.devices:
        raise UsageError(
            "--devices and --launch exclude each other", "the site's file says what a task has"
        )
    if any(values.get("fresh") for values in every):
        raise UsageError("--fresh and --launch exclude each other", RETRY)
    from ofa_bench.hooks.catalogue import discover
    from ofa_bench.launch.launcher import open_launcher

    launcher = open_launcher(manner.launch, discover().catalogue)
    parallel_runs.check_devices(launcher.devices)
    return launcher


def carry_out(
    runs: Runs,
    store: Store,
    manner: Manner,
    launcher: Launcher | None = None,
    *,
    settled: Callable[[Runs], bool] = lambda runs: True,
) -> Carried:
    """Train the runs, or hand them over.

    `settled(runs)` says what the runs will cost, and whether that is little enough to start without
    asking. Raises BenchError where the user refuses, and what the runs raise.
    """
    from ofa_bench.cli import parallel_runs

    if launcher is not None and (manner.dry_run or not launcher.devices):
        return _hand_over(runs, store, manner, launcher, settled)
    devices = manner.devices or (launcher.devices if launcher is not None else ())
    ask(settled(runs), manner)
    if devices:
        entries, failures = parallel_runs.run_in_parallel(runs, store, devices)
        return Carried(entries, failures)
    return _run_here(runs, store)


def ask(settled: bool, manner: Manner) -> None:
    """Raise BenchError where the user does not want what costs much to start."""
    if not settled and not (manner.yes or console.confirm("Start?")):
        raise BenchError("nothing was started", "--yes starts without asking")


def _run_here(runs: Runs, store: Store) -> Carried:
    """One after another. The JSON answer says which record each made, for whoever launched this."""
    from ofa_bench import api
    from ofa_bench.cli.commands.training.compare import run_watched
    from ofa_bench.launch.folder import run_key

    keys = {id(asked): run_key(asked, assembly) for asked, assembly in runs}
    ends: list[dict[str, Any]] = []

    def run(asked: Request, *others: Any, **named: Any) -> Any:
        end: dict[str, Any] = {"key": keys[id(asked)]}
        try:
            record = api.run_request(asked, *others, **named)
        except BenchError as error:
            ends.append({**end, "error": error.message})
            raise
        ends.append({**end, "run": record.run.id})
        return record

    entries, failures = run_watched(runs, store, run)
    return Carried(entries, failures, {"runs": ends})


def _hand_over(
    runs: Runs,
    store: Store,
    manner: Manner,
    launcher: Launcher,
    settled: Callable[[Runs], bool],
) -> Carried:
    from ofa_bench.launch.folder import run_key
    from ofa_bench.launch.handover import LaunchedRun
    from ofa_bench.runs.comparison import title_of

    launched = [
        LaunchedRun(run_key(asked, assembly), title_of(assembly), asked, assembly)
        for asked, assembly in runs
    ]
    if manner.dry_run:
        surveyed = _looked_at(launched, store, launcher)
        more = _script(surveyed, store, manner, launcher)
    else:
        surveyed, more = _submitted(launched, store, manner, launcher, settled)
    carried = _collected(surveyed, store)
    carried.more = {"launch": {**_document(surveyed), **more}}
    if "script" in more:
        console.tell(_summary(surveyed))
    elif not manner.as_json:
        _show(surveyed)
    return carried


def _looked_at(launched: list[LaunchedRun], store: Store, launcher: Launcher) -> list[LaunchedRun]:
    """States for a script that is only printed: without the queue, where there is none."""
    from ofa_bench.launch.handover import survey

    try:
        return survey(launched, store, launcher)
    except BenchError as error:
        console.tell(f"{error.message}: what is queued is not known")
        return survey(launched, store, launcher, ask=False)


def _submitted(
    launched: list[LaunchedRun],
    store: Store,
    manner: Manner,
    launcher: Launcher,
    settled: Callable[[Runs], bool],
) -> tuple[list[LaunchedRun], dict[str, Any]]:
    """Submit what nobody works on; the states after that, and what was done."""
    from ofa_bench.launch.handover import hand_over, locked, survey, to_submit

    assert manner.launch is not None
    with locked(store):
        surveyed = survey(launched, store, launcher)
        chosen = to_submit(surveyed, manner.retry)
        if not chosen:
            return surveyed, {"submitted": 0}
        ask(settled([(run.asked, run.assembly) for run in chosen]), manner)
        batch = _batch(chosen, store, manner)
        job = hand_over(chosen, batch, store, manner.launch, launcher)
        if not launcher.queues:
            return surveyed, {"submitted": 0, **_printed(launcher.script(batch), manner)}
        console.tell(f"submitted {len(chosen)} runs in {len(batch.tasks)} tasks: job {job}")
        return survey(launched, store, launcher), {"submitted": len(chosen), "job": job}


def _batch(chosen: list[LaunchedRun], store: Store, manner: Manner) -> LaunchBatch:
    from ofa_bench.launch.handover import batch_of
    from ofa_bench.runs.recorded_throughput import device_rates

    return batch_of(chosen, store, manner.launch or "", device_rates(chosen[0].assembly, store))


def _script(
    surveyed: list[LaunchedRun], store: Store, manner: Manner, launcher: Launcher
) -> dict[str, Any]:
    """Print the script of what would be submitted."""
    from ofa_bench.launch.handover import to_submit

    chosen = to_submit(surveyed, manner.retry)
    if not chosen:
        console.tell("there is nothing to submit")
        return {"submitted": 0, "script": ""}
    text = launcher.script(_batch(chosen, store, manner))
    return {"submitted": 0, **_printed(text, manner)}


def _printed(text: str, manner: Manner) -> dict[str, Any]:
    """The script alone on stdout, so that it can be piped; its paths were checked."""
    if not manner.as_json:
        console.raw(text)
    return {"script": text}


def _collected(surveyed: list[LaunchedRun], store: Store) -> Carried:
    """Records and failures of what is over."""
    from ofa_bench.runs.comparison import last_failure

    entries = [run.entry for run in surveyed if run.entry is not None]
    failures = []
    for run in surveyed:
        if run.state == "failed":
            failures.append((run.title, BenchError(run.detail, RETRY)))
            entries += last_failure(store, run.assembly)
    waiting = sum(run.state not in ("done", "failed") for run in surveyed)
    return Carried(entries, failures, waiting=waiting)


def _counts(surveyed: list[LaunchedRun]) -> dict[str, int]:
    from ofa_bench.launch.handover import STATES

    return {state: sum(run.state == state for run in surveyed) for state in STATES}


def _document(surveyed: list[LaunchedRun]) -> dict[str, Any]:
    rows = [
        {"run": run.title, "key": run.key, "state": run.state, "job": run.job, "detail": run.detail}
        for run in surveyed
    ]
    return {"states": _counts(surveyed), "runs": rows}


def _summary(surveyed: list[LaunchedRun]) -> str:
    counts = [f"{number} {state}" for state, number in _counts(surveyed).items() if number]
    return f"{len(surveyed)} runs: {', '.join(counts)}"


def _show(surveyed: list[LaunchedRun]) -> None:
    """The states: all that are not done, a line each, and the counts."""
    rows = [[run.title, run.state, run.job, run.detail] for run in surveyed if run.state != "done"]
    if rows:
        console.table(["run", "state", "job", "detail"], rows)
    console.say(_summary(surveyed))
    if any(run.state == "failed" for run in surveyed):
        console.say(RETRY)
