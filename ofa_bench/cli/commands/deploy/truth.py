"""`ofa-bench truth`: does a supernet rank nets as training them alone would?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ofa_bench.cli import console
from ofa_bench.cli.launching import Manner, many_runs_options
from ofa_bench.cli.options import RUN_OPTIONS, finished_run_options
from ofa_bench.formatting import count, duration, money

if TYPE_CHECKING:
    from ofa_bench.deploy.truth.pipeline import TruthPlan


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN…|TRACK|FILE.toml")
@click.option("--nets", type=click.IntRange(4, 300), metavar="N", help="Nets trained alone; 30.")
@click.option("--seeds", type=click.IntRange(1, 20), metavar="N", help="Seeds of each net; 2.")
@RUN_OPTIONS["epochs"]
@finished_run_options
@many_runs_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    runs: tuple[str, ...],
    manner: Manner,
    **values: Any,
) -> None:
    """Compare the ranking of finished supernets with the same nets trained alone.

    RUNS are supernets of one track, by name; or a track's name, or a comparison's file, for all of
    its finished runs. The nets are spread over the space's MACs and trained from labels, by one
    recipe, once for all supernets of the track: what is trained already is not trained again. A
    net that fails is shown and left out; the exit code is then 1. With --launch the supernets are
    scored once all nets are trained.
    """
    from ofa_bench.cli.launching import ask, carry_out, check_manner
    from ofa_bench.cli.views import truth as view
    from ofa_bench.cli.views.progress import watched_on
    from ofa_bench.deploy.truth import pipeline, scoring

    launcher = check_manner(manner, [values])
    names = [name for run in runs for name in _names(run, values["results"], values["trust"])]
    plan = pipeline.truth_plan(names, **values)
    planned = [run.planned for run in plan.runs]
    carried = None
    if launcher is not None:
        carried = carry_out(
            planned, plan.store, manner, launcher, settled=lambda some: _foretold(plan)
        )
        if carried.waiting or manner.dry_run:
            if manner.as_json:
                console.answer(carried.more)
            ctx.exit(1 if carried.failures else 0)
    else:
        ask(_foretold(plan), manner)
    with watched_on(values["device"]) as watch:
        scores = scoring.supernet_scores(plan.supernets, plan.nets, watch)
        proxies = scoring.proxy_rankings(plan.supernets[0], plan.nets, watch)
    carried = carried or carry_out(planned, plan.store, manner)
    records = pipeline.truth_records(plan, scores, carried.entries, proxies)
    view.show(records, manner.as_json, plan.store.results)
    if not manner.as_json:
        for title, error in carried.failures:
            console.say(f"failed: {title}: {error.message}")
    ctx.exit(1 if carried.failures else 0)


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
        f"{len(plan.nets)} nets alone with {len(plan.seeds)} "
        f"{'seed' if len(plan.seeds) == 1 else 'seeds'}: {len(plan.runs)} runs, "
        f"{count(plan.macs)} training MACs"
    )
    if seconds is not None:
        text += f", about {duration(seconds)} on {speed.model}, $ {money(usd)}"
    console.tell(f"{text}; what is trained already is not trained again")
    return (plan.macs / SLOWEST if seconds is None else seconds) < ASK_FROM
