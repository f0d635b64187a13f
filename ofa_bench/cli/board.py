"""`ofa-bench board`: leaderboards, computed from records and nothing else."""

from __future__ import annotations

from typing import Any

import click

from ofa_bench.cli import console
from ofa_bench.cli.options import json_option, results_option
from ofa_bench.errors import UnknownName


@click.command()
@click.argument("which", required=False, metavar="[DATASET|TRACK]")
@click.option(
    "--format", "form", type=click.Choice(["table", "md", "json"]), default="table", help="How."
)
@results_option
@json_option
def command(which: str | None, form: str, results: str | None, as_json: bool) -> None:
    """Show leaderboards: a data set's, a track's, or all."""
    from ofa_bench import api
    from ofa_bench.cli import standings
    from ofa_bench.records.board import board
    from ofa_bench.records.store import Store
    from ofa_bench.records.track import tracks

    store = Store(api.results_root(results))
    records = store.list(broken=lambda error: console.complain(error.message, error.hint))
    boards = [board(track, entries) for track, entries in tracks(records).items()]
    if which is not None:
        boards = _chosen(which, boards)
    if as_json or form == "json":
        console.answer(standings.document(boards))
        return
    if not boards:
        console.say(f"no records in {store.results}")
    for place, each in enumerate(boards):
        if place:
            console.say()
        standings.show(each, each.track.name)
        for line in [*standings.caveats(each), *(f"more seeds: {line}" for line in each.more)]:
            console.say(line)


def _chosen(which: str, boards: list[Any]) -> list[Any]:
    found = [board for board in boards if board.track.dataset == which]
    found = found or [board for board in boards if board.track.name.startswith(which)]
    if not found:
        known = {board.track.dataset for board in boards} | {board.track.name for board in boards}
        raise UnknownName("data set or track", which, known)
    return found
