"""`ofa-bench resume`: go on with a begun run."""

from __future__ import annotations

from typing import Any

import click

from ofa_bench.cli import console
from ofa_bench.cli.options import (
    RUN_OPTIONS,
    json_option,
    results_option,
    set_options,
    space_option,
    trust_option,
)


@click.command()
@click.argument("run")
@RUN_OPTIONS["data_dir"]
@RUN_OPTIONS["init"]
@RUN_OPTIONS["teacher"]
@RUN_OPTIONS["recipe"]
@space_option
@RUN_OPTIONS["plugins"]
@trust_option
@results_option
@json_option
def command(run: str, trust: bool, results: str | None, as_json: bool, **values: Any) -> None:
    """Go on with a begun run.

    RUN is its name, or the beginning of it, or its folder. Where data, code or starting weights
    are others than when it began, nothing is trained and the difference is shown. Plugin files,
    recipes and space tables that the folder names are used only where they are named here, or with
    --trust.
    """
    from ofa_bench import api
    from ofa_bench.cli.allocator import settle
    from ofa_bench.cli.views.board import refresh
    from ofa_bench.cli.views.progress import watching
    from ofa_bench.cli.views.record import headline, show
    from ofa_bench.planning.assemble import assemble
    from ofa_bench.records.store import Store

    resumed = api.resumption(run, results, trust, **set_options(values, results))
    asked = resumed.asked
    assembly = assemble(asked, api.catalogue_for(asked))
    console.tell(headline(assembly))
    settle(asked.device)
    with watching() as watch:
        watch.follow(assembly)
        record = api.run_request(asked, watch, resumed.command, resumed=resumed)
    store = Store(api.results_root(asked.results))
    refresh(store.results)
    show(record, store.path(record), as_json)
