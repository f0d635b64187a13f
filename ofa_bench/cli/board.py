"""`ofa-bench board`: leaderboards, computed from records and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ofa_bench.cli import console
from ofa_bench.cli.options import json_option, results_option

if TYPE_CHECKING:
    from ofa_bench.records.store import Store


@click.command()
@click.argument("which", required=False, metavar="[DATASET|TRACK]")
@click.option("--check", is_flag=True, help="Compare the kept boards with the records; exit 1.")
@click.option(
    "--format", "form", type=click.Choice(["table", "md", "json"]), default="table", help="How."
)
@results_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    which: str | None,
    check: bool,
    form: str,
    results: str | None,
    as_json: bool,
) -> None:
    """Show leaderboards: a data set's, a track's, or all.

    They are computed from records, and kept in the results folder's boards/. --check writes
    nothing: it exits with 1 where a kept board is not what the records say.
    """
    from ofa_bench import api
    from ofa_bench.cli import standings
    from ofa_bench.records.board import board
    from ofa_bench.records.boards import choose
    from ofa_bench.records.shown import to_markdown
    from ofa_bench.records.store import Store
    from ofa_bench.records.track import tracks

    store = Store(api.results_root(results))
    form = "json" if as_json else form
    if check:
        ctx.exit(_check(store, form))
    records = store.list(broken=lambda error: console.complain(error.message, error.hint))
    found = choose([board(track, entries) for track, entries in tracks(records).items()], which)
    if found:
        standings.refresh(store.results)
    if form == "json":
        console.answer(standings.document(found))
        return
    if form == "md":
        console.raw("\n".join(to_markdown(each) for each in found))
        return
    if not found:
        console.say(f"no records in {store.results}")
    for place, each in enumerate(found):
        if place:
            console.say()
        standings.show(each, each.track.name)
        for line in [*standings.caveats(each), *(f"more seeds: {line}" for line in each.more)]:
            console.say(line)


def _check(store: Store, form: str) -> int:
    from ofa_bench.records.boards import check_boards

    said = check_boards(store.results)
    if form == "json":
        console.answer({"ok": not said, "differences": said})
    else:
        for line in said or [f"the boards in {store.results} are what the records say"]:
            console.say(line)
    return 1 if said else 0
