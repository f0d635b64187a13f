"""`ofa-bench evaluate`: subnets of a finished run, calibrated and scored."""

from __future__ import annotations

from typing import Any

import click

from ofa_bench.cli import console
from ofa_bench.cli.options import finished_run_options, set_options


@click.command()
@click.argument("run")
@click.option(
    "--subnet",
    "subnets",
    multiple=True,
    metavar="SUBNET",
    help="largest, smallest, k7e4d3, a name that show prints, or JSON; repeatable.",
)
@finished_run_options
def command(
    run: str, subnets: tuple[str, ...], results: str | None, as_json: bool, **values: Any
) -> None:
    """Score any subnets of a finished run, or do the final evaluation of a trained one.

    Each is calibrated: it gets norm statistics of its own. Without --subnet the final evaluation
    that `run --evaluate-later` left is done, or gone on with, and the record written. Plugin files,
    recipes and space tables that the run's folder names are used only where they are named here,
    or with --trust.
    """
    from ofa_bench import api
    from ofa_bench.cli.commands.training.run import run_and_show
    from ofa_bench.cli.views.progress import watched_on
    from ofa_bench.cli.views.record import score_rows

    if not subnets:
        trust = values.pop("trust")
        resumed = api.resumption(run, results, trust, **set_options(values, results))
        run_and_show(resumed.asked, as_json, resumed.command, resumed, stage="evaluate")
        return
    with watched_on(values["device"]) as watch:
        scores = api.evaluate(run, subnets, results=results, progress=watch, **values)
    if as_json:
        console.answer({"run": run, "scores": [score.model_dump(mode="json") for score in scores]})
        return
    columns = ["subnet", ">MACs", ">params", ">top-1 select, %", ">top-1 test, %"]
    console.table(columns, score_rows(scores))
