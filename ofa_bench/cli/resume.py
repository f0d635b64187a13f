"""`ofa-bench resume`: go on with a begun run."""

from __future__ import annotations

import click

from ofa_bench.cli import console
from ofa_bench.cli.options import json_option, results_option


@click.command()
@click.argument("run")
@results_option
@json_option
def command(run: str, results: str | None, as_json: bool) -> None:
    """Go on with a begun run.

    RUN is its name, or the beginning of it.
    """
    from ofa_bench import api
    from ofa_bench.cli.allocator import settle
    from ofa_bench.cli.outcome import headline, show
    from ofa_bench.cli.progress import watching
    from ofa_bench.cli.standings import refresh
    from ofa_bench.engine.assemble import assemble
    from ofa_bench.records.store import Store

    asked, told = api.begun(run, results)
    assembly = assemble(asked, api.catalogue_for(asked))
    console.tell(headline(assembly))
    settle(asked.device)
    with watching() as watch:
        watch.follow(assembly)
        record = api.run_request(asked, watch, told)
    store = Store(api.results_root(asked.results))
    refresh(store.results)
    show(record, store.path(record), as_json)
