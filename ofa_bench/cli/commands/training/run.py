"""`ofa-bench run`: train, evaluate, store one record, print it."""

from __future__ import annotations

from typing import Any

import click

from ofa_bench.cli import console
from ofa_bench.cli.options import asked_of, json_option, run_options


@click.command()
@run_options()
@json_option
def command(as_json: bool, **values: Any) -> None:
    """Train, evaluate and store one run.

    Without options: the default method on the embedded digits. A finished run is shown again, and
    a begun one goes on from its last checkpoint.
    """
    from ofa_bench import api
    from ofa_bench.cli.allocator import settle
    from ofa_bench.cli.views.board import refresh
    from ofa_bench.cli.views.progress import watching
    from ofa_bench.cli.views.record import headline, show
    from ofa_bench.planning.assemble import assemble
    from ofa_bench.records.store import Store

    asked = asked_of(values)
    assembly = assemble(asked, api.catalogue_for(asked))
    console.tell(headline(assembly))
    settle(asked.device)
    with watching() as watch:
        watch.follow(assembly)
        record = api.run_request(asked, watch)
    store = Store(api.results_root(asked.results))
    refresh(store.results)
    show(record, store.path(record), as_json)
