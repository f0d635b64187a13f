"""`ofa-bench compare`: every method and seed, and the one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ofa_bench.cli import console
from ofa_bench.cli.comparison import (
    check_code,
    devices_option,
    name_list,
    requests,
    seeds_option,
    sized,
    take_file,
    yes_option,
)
from ofa_bench.cli.options import Kind, asked_of, options, run_options, store_of
from ofa_bench.errors import BenchError
from ofa_bench.formatting import count, duration, money
from ofa_bench.sanitize import command_line

if TYPE_CHECKING:
    from ofa_bench.planning.assemble import Assembly
    from ofa_bench.records.store import Store, StoredRecord
    from ofa_bench.runs.comparison import Outcomes, Planned

ASK_FROM = 600.0  # seconds
SLOWEST = 2e9  # MACs a second of a slow core: only to judge whether asking is due


@click.command()
@click.argument("file", required=False, is_eager=True, expose_value=False, callback=take_file)
@click.option("--methods", type=Kind("names", name_list), metavar="A,B,…", help="Which methods.")
@seeds_option
@run_options(without=("method", "seed"))
@click.option("--curve", is_flag=True, help="At a quarter, half, one and two of the budget.")
@devices_option
@yes_option
@options("trust", "json")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    methods: tuple[str, ...] | None,
    seeds: tuple[int, ...],
    curve: bool,
    devices: tuple[str, ...] | None,
    yes: bool,
    trust: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Train every method and seed; show one table.

    Finished runs are reused and begun ones go on. FILE.toml may declare a comparison: keys named
    as these options, and [[rows]] instead of methods for rows that differ in more. A run that
    fails is shown as failed, and the others go on; the exit code is then 1. Code that FILE.toml
    names is run only where --plugin names it too, or with --trust.
    """
    check_code(ctx, trust)
    every = requests(values, methods, seeds, ctx.meta.get("rows", []))
    every = list(sized(every)) if curve else every
    conduct(ctx, every, seeds, yes, as_json, devices, _curves if curve else None)


def _curves(entries: list[StoredRecord]) -> None:
    from ofa_bench.cli.views import cost_curves
    from ofa_bench.leaderboard.by_cost.cost_curves import families

    cost_curves.show(families(entries), None)


def conduct(
    ctx: click.Context,
    every: list[dict[str, Any]],
    seeds: tuple[int, ...],
    yes: bool,
    as_json: bool,
    devices: tuple[str, ...] | None = None,
    after: Callable[[list[StoredRecord]], None] | None = None,
) -> None:
    """Say what a comparison will cost, ask where that is much, run it and show its table.

    `after` is given the records, to show more of them.
    """
    from ofa_bench.cli import side
    from ofa_bench.cli.views.board import refresh
    from ofa_bench.leaderboard.board import again, more_seeds
    from ofa_bench.runs.comparison import forget_shared, planned

    side.check_devices(devices or ())
    runs = [planned(asked_of(item)) for item in every]
    store = store_of(every[0]["results"])
    if not _foretold(runs, store) and not (yes or console.confirm("Start?")):
        raise BenchError("nothing was started", "--yes starts without asking")
    if devices:
        entries, failures = side.run_side_by_side(runs, store, devices)
    else:
        entries, failures = run_watched(runs, store)
    forget_shared(store.results)
    refresh(store.results)
    _conclude(entries, failures, as_json)
    if after is not None and not as_json:
        after(entries)
    line = again(command_line("ofa-bench", *(ctx.obj or ())), len(seeds), more_seeds(len(seeds)))
    if line and not as_json:
        console.say(f"more seeds: {line}")
    ctx.exit(1 if failures else 0)


def _foretold(runs: list[Planned], store: Store) -> bool:
    """Say what the runs will cost; whether that is little enough to start without asking."""
    from ofa_bench.runs.recorded_throughput import speed_for

    speed = speed_for(runs[0][1], store)
    whole = sum(cost.total for _, assembly in runs for cost in assembly.cost)
    macs = whole - saved([assembly for _, assembly in runs])
    seconds, usd = speed.seconds(macs), speed.usd(macs)
    text = f"{len(runs)} runs, {count(macs)} training MACs"
    if seconds is not None:
        text += f", about {duration(seconds)} on {speed.model}, $ {money(usd)}"
    console.tell(f"{text}; what is finished already is not run again")
    if macs < whole:
        console.tell(
            f"beginnings that runs share are trained once: {macs / whole:.2f} of {count(whole)} "
            "MACs apart; each row is charged in full"
        )
    return (macs / SLOWEST if seconds is None else seconds) < ASK_FROM


def saved(runs: list[Assembly]) -> float:
    """Training MACs that runs with a beginning in common do not spend twice."""
    from ofa_bench.planning.shared_prefix import Beginning, branch_points, saved_macs

    points = branch_points([Beginning(assembly) for assembly in runs])
    return sum(saved_macs(item, start) for item, (start, _) in zip(runs, points, strict=True))


def run_watched(runs: list[Planned], store: Store) -> Outcomes:
    """As `runs.comparison.run_all`, watched on the terminal."""
    from ofa_bench import api
    from ofa_bench.cli.views.progress import watched_on
    from ofa_bench.cli.views.record import headline
    from ofa_bench.runs import comparison

    with watched_on(runs[0][0].device) as watch:

        def begin(assembly: Assembly) -> str:
            watch.follow(assembly)
            return headline(assembly)

        return comparison.run_all(runs, store, watch, begin=begin, run=api.run_request)


def _conclude(
    entries: list[StoredRecord], failures: list[tuple[str, BenchError]], as_json: bool
) -> None:
    from ofa_bench import api
    from ofa_bench.cli.views import board as board_view
    from ofa_bench.leaderboard.board import boards_of
    from ofa_bench.leaderboard.kept_boards import shown
    from ofa_bench.leaderboard.screening import screened

    records = screened(entries, api.record_checks(candidates=False))
    boards = boards_of(records)
    if as_json:
        text = [{"run": title, "error": item.message} for title, item in failures]
        measured = [
            {"quantity": quantity, "label": label, "values": values}
            for quantity, label, values in board_view.readings(boards)
        ]
        unranked = board_view.unranked_document(records.unranked)
        made = map(shown, boards)
        console.answer(board_view.document(made, failures=text, readings=measured, **unranked))
        return
    for item in boards:
        board_view.show(shown(item), item.track.name if len(boards) > 1 else "")
    board_view.list_unranked(records.unranked)
    board_view.show_readings(boards)
    shown_already = {entry.record.error for entry in entries}
    for title, error in failures:
        if error.message not in shown_already:
            console.say(f"failed: {title}: {error.message}")
