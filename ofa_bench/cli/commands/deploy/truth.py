"""`ofa-bench truth`: does a supernet rank nets as training them alone would?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ofa_bench.cli import console
from ofa_bench.cli.comparison import devices_option
from ofa_bench.cli.options import RUN_OPTIONS, finished_run_options
from ofa_bench.errors import BenchError
from ofa_bench.formatting import count, duration, money

if TYPE_CHECKING:
    from ofa_bench.deploy.truth.pipeline import TruthPlan


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN…|TRACK|FILE.toml")
@click.option("--nets", type=click.IntRange(4, 300), metavar="N", help="Nets trained alone; 30.")
@click.option("--seeds", type=click.IntRange(1, 20), metavar="N", help="Seeds of each net; 2.")
@RUN_OPTIONS["epochs"]
@devices_option
@click.option("--yes", is_flag=True, help="Do not ask before a long training.")
@finished_run_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    runs: tuple[str, ...],
    devices: tuple[str, ...] | None,
    yes: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Compare the ranking of finished supernets with the same nets trained alone.

    RUNS are supernets of one track, by name; or a track's name, or a comparison's file, for all of
    its finished runs. The nets are spread over the space's MACs and trained from labels, by one
    recipe, once for all supernets of the track: what is trained already is not trained again. A
    net that fails is shown and left out; the exit code is then 1.
    """
    from ofa_bench.cli import side
    from ofa_bench.cli.commands.training.compare import run_watched
    from ofa_bench.cli.views import truth as view
    from ofa_bench.cli.views.progress import watched_on
    from ofa_bench.deploy.truth import pipeline
    from ofa_bench.runs.comparison import forget_shared

    side.check_devices(devices or ())
    names = [name for run in runs for name in _names(run, values["results"], values["trust"])]
    plan = pipeline.truth_plan(names, **values)
    if not _foretold(plan) and not (yes or console.confirm("Start?")):
        raise BenchError("nothing was started", "--yes starts without asking")
    with watched_on(values["device"]) as watch:
        scores = pipeline.supernet_scores(plan, watch)
    planned = [run.planned for run in plan.runs]
    if devices:
        entries, failures = side.run_side_by_side(planned, plan.store, devices)
    else:
        entries, failures = run_watched(planned, plan.store)
    forget_shared(plan.store.results)
    records = pipeline.truth_records(plan, scores, entries)
    view.show(records, as_json, plan.store.results)
    if not as_json:
        for title, error in failures:
            console.say(f"failed: {title}: {error.message}")
    ctx.exit(1 if failures else 0)


def _names(run: str, results: str | None, trust: bool) -> list[str]:
    """The run or track itself; of a comparison's file the finished runs it declares."""
    if not run.endswith(".toml"):
        return [run]
    from ofa_bench.cli.commands.training.compare import command as compare
    from ofa_bench.cli.comparison import check_code, requests
    from ofa_bench.cli.options import asked_of
    from ofa_bench.deploy.truth.supernets import compared
    from ofa_bench.records.store import Store
    from ofa_bench.runs.comparison import planned
    from ofa_bench.runs.single import results_root

    with compare.make_context("compare", [run]) as ctx:
        check_code(ctx, trust)
        values = {name: ctx.params[name] for name in RUN_OPTIONS if name in ctx.params}
        every = requests(values, ctx.params["methods"], ctx.params["seeds"], ctx.meta["rows"])
    assemblies = [planned(asked_of(item))[1] for item in every]
    return compared(assemblies, Store(results_root(results)), run)


def _foretold(plan: TruthPlan) -> bool:
    """Say what the training will cost; whether that is little enough to start without asking."""
    from ofa_bench.cli.commands.training.compare import ASK_FROM, SLOWEST
    from ofa_bench.runs.recorded_throughput import speed_for

    speed = speed_for(plan.supernets[0].assembly, plan.store)
    seconds, usd = speed.seconds(plan.macs), speed.usd(plan.macs)
    text = (
        f"{len(plan.nets)} nets alone with {len(plan.seeds)} seeds: {len(plan.runs)} runs, "
        f"{count(plan.macs)} training MACs"
    )
    if seconds is not None:
        text += f", about {duration(seconds)} on {speed.model}, $ {money(usd)}"
    console.tell(f"{text}; what is trained already is not trained again")
    return (plan.macs / SLOWEST if seconds is None else seconds) < ASK_FROM
