"""`ofa-bench compare`: every method and seed, and the one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ofa_bench.cli import console
from ofa_bench.cli.comparison import (
    check_code,
    name_list,
    requests,
    seeds_option,
    sized,
    take_file,
)
from ofa_bench.cli.launching import Manner, carry_out, check_manner, many_runs_options
from ofa_bench.cli.options import Kind, asked_of, options, run_options, store_of
from ofa_bench.formatting import count, duration, money
from ofa_bench.sanitize import command_line

if TYPE_CHECKING:
    from ofa_bench.cli.launching import Carried
    from ofa_bench.planning.assemble import Assembly
    from ofa_bench.records.schema import Record
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
@options("trust", "json")
@many_runs_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    methods: tuple[str, ...] | None,
    seeds: tuple[int, ...],
    curve: bool,
    trust: bool,
    manner: Manner,
    **values: Any,
) -> None:
    """Train every method and seed; show one table.

    Finished runs are reused and begun ones go on. FILE.toml may declare a comparison: keys named
    as these options, and [[rows]] instead of methods for rows that differ in more. A run that
    fails is shown as failed, and the others go on; the exit code is then 1. Code that FILE.toml
    names is run only where --plugin names it too, or with --trust. With --launch the same line
    submits, later says what is queued, running, done or failed, and shows the table.
    """
    check_code(ctx, trust)
    every = requests(values, methods, seeds, ctx.meta.get("rows", []))
    every = list(sized(every)) if curve else every
    conduct(ctx, every, seeds, manner, _curves if curve else None)


def _curves(entries: list[StoredRecord]) -> None:
    from ofa_bench.cli.views import cost
    from ofa_bench.leaderboard.by_cost.cost_curves import families

    cost.show(families(entries), None)


def conduct(
    ctx: click.Context,
    every: list[dict[str, Any]],
    seeds: tuple[int, ...],
    manner: Manner,
    after: Callable[[list[StoredRecord]], None] | None = None,
) -> None:
    """Say what a comparison will cost, ask where that is much, run it and show its table.

    `after` is given the records, to show more of them. With a launcher, this comes once all are
    there.
    """
    from ofa_bench.cli.views.board import refresh
    from ofa_bench.leaderboard.board import again, more_seeds
    from ofa_bench.runs.comparison import planned

    launcher = check_manner(manner, every)
    runs = [planned(asked_of(item)) for item in every]
    store = store_of(every[0]["results"])
    carried = carry_out(runs, store, manner, launcher, settled=lambda some: _foretold(some, store))
    if launcher is None or launcher.devices:
        refresh(store.results)
    if not manner.as_json and "script" in carried.more.get("launch", {}):
        ctx.exit(1 if carried.failures else 0)  # stdout is the script's alone
    _conclude(carried, manner.as_json)
    if not manner.as_json and not carried.waiting:
        if after is not None:
            after(carried.entries)
        words = command_line("ofa-bench", *(ctx.obj or ()))
        if line := again(words, len(seeds), more_seeds(len(seeds))):
            console.say(f"more seeds: {line}")
    ctx.exit(1 if carried.failures else 0)


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


def run_watched(
    runs: list[Planned],
    store: Store,
    run: Callable[..., Record] | None = None,
    first: int = 1,
    total: int | None = None,
) -> Outcomes:
    """As `runs.comparison.run_all`, watched on the terminal."""
    from ofa_bench import api
    from ofa_bench.cli.views.progress import watched_on
    from ofa_bench.cli.views.record import headline
    from ofa_bench.runs import comparison

    with watched_on(runs[0][0].device) as watch:

        def begin(assembly: Assembly) -> str:
            watch.follow(assembly)
            return headline(assembly)

        carry_out = run or api.run_request
        return comparison.run_all(
            runs, store, watch, begin=begin, run=carry_out, first=first, total=total
        )


def _conclude(carried: Carried, as_json: bool) -> None:
    from ofa_bench import api
    from ofa_bench.cli.views import board as board_view
    from ofa_bench.leaderboard.board import boards_of
    from ofa_bench.leaderboard.kept_boards import shown
    from ofa_bench.leaderboard.screening import screened

    entries, failures = carried.entries, carried.failures
    records = screened(entries, api.record_checks(candidates=False))
    boards = boards_of(records)
    if as_json:
        text = [{"run": title, "error": item.message} for title, item in failures]
        measured = [
            {"quantity": quantity, "label": label, "values": values}
            for quantity, label, values in board_view.readings(boards)
        ]
        unranked = board_view.unranked_document(records.unranked)
        more, made = {**unranked, **carried.more}, map(shown, boards)
        console.answer(board_view.document(made, failures=text, readings=measured, **more))
        return
    for item in boards:
        board_view.show(shown(item), item.track.name if len(boards) > 1 else "")
    board_view.list_unranked(records.unranked)
    board_view.show_readings(boards)
    shown_already = {entry.record.error for entry in entries}
    for title, error in failures:
        if error.message not in shown_already:
            console.say(f"failed: {title}: {error.message}")
