"""`ofa-bench resume`: go on with a begun run."""

from __future__ import annotations

from typing import Any

import click

from ofa_bench.cli.options import options, set_options


@click.command()
@click.argument("run")
@options("data_dir", "init", "teacher", "recipe", "space", "plugins", "trust", "results", "json")
def command(run: str, trust: bool, results: str | None, as_json: bool, **values: Any) -> None:
    """Go on with a begun run.

    RUN is its name, or the beginning of it, or its folder. Where data, code or starting weights
    are others than when it began, nothing is trained and the difference is shown. Plugin files,
    recipes and space tables that the folder names are used only where they are named here, or with
    --trust.
    """
    from ofa_bench import api
    from ofa_bench.cli.commands.training.run import run_and_show

    resumed = api.resumption(run, results, trust, **set_options(values, results))
    run_and_show(resumed.asked, as_json, resumed.command, resumed)
