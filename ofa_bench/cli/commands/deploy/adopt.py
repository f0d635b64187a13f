"""`ofa-bench adopt`: a finished run from a checkpoint that was trained elsewhere."""

from __future__ import annotations

from typing import Any

import click

from ofa_bench.cli.options import options, set_options


@click.command()
@click.argument("file", metavar="FILE[::SET]")
@click.option("--space", required=True, help="Space that the weights are of, by name or TOML file.")
@options("dataset", "data_dir")
@click.option(
    "--norm-eps",
    type=float,
    metavar="EPS",
    help="Batch-norm epsilon that the weights were trained with, such as 1e-3.",
)
@options("method", "set", "workers", "device", "plugins", "results", "json")
def command(file: str, results: str | None, as_json: bool, **values: Any) -> None:
    """Take in a checkpoint that was trained elsewhere.

    FILE is of the once-for-all model zoo, or any weights that fit the space. Its subnets are
    calibrated and scored on the images of --dataset, and it is kept as a finished run of status
    imported, for evaluate, search and export. The batch-norm epsilon is asked for, unless the
    file has the name of a checkpoint of the zoo.
    """
    from ofa_bench import api
    from ofa_bench.cli.views.progress import watched_on
    from ofa_bench.cli.views.record import conclude

    with watched_on(values["device"]) as watch:
        options = set_options(values, results)
        record = api.adopt(file, results=results, progress=watch, **options)
    conclude(record, api.results_root(results), as_json)
