"""`ofa-bench search`: the best subnet of a finished run under a budget."""

from __future__ import annotations

from typing import Any

import click

from ofa_bench.cli.options import Name, finished_run_options


@click.command()
@click.argument("run")
@click.option("--macs", metavar="N", help="At most so many multiply-accumulates: 3M, 1.5G.")
@click.option("--params", metavar="N", help="At most so many parameters: 900k, 1.2M.")
@click.option("--latency", metavar="T", help="At most so long on a device: 2ms; needs --table.")
@click.option("--table", metavar="FILE", help="A latency table, by `ofa-bench latency measure`.")
@click.option("--front", is_flag=True, help="The best subnet of every budget.")
@click.option(
    "--top", type=click.IntRange(1, 100), default=8, show_default=True, help="Subnets listed."
)
@click.option(
    "--evaluations",
    type=click.IntRange(1, 20_000),
    metavar="N",
    help="Subnets scored on select; else 200, for a front 400, of a small space all.",
)
@click.option(
    "--searcher",
    type=Name("searcher"),
    default="exact",
    show_default=True,
    help="What proposes them; see `ofa-bench list searchers`.",
)
@finished_run_options
def command(run: str, as_json: bool, **values: Any) -> None:
    """Find the most accurate subnet of a finished run under a budget.

    One of --macs, --params, --latency and --front. Subnets are scored on the select images; the
    best alone is scored on test, once. Scores are kept: the same command twice scores nothing
    twice, and one that was stopped goes on. The answer has a name of its own: `best@3M`.
    """
    from ofa_bench import api
    from ofa_bench.cli.views import search as view
    from ofa_bench.cli.views.progress import watched_on

    with watched_on(values["device"]) as watch:
        record = api.search(run, progress=watch, **values)
    path = str(api.search_file(record, run, values["results"]))
    view.show(record, path, as_json, values["results"])
