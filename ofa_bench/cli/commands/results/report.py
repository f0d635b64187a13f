"""`ofa-bench report`: records as one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ofa_bench.cli import console
from ofa_bench.cli.options import options, store_of
from ofa_bench.errors import BenchError, UsageError

if TYPE_CHECKING:
    from ofa_bench.leaderboard.board import Board
    from ofa_bench.leaderboard.screening import Screened
    from ofa_bench.records.store import Store, StoredRecord
    from ofa_bench.records.truths.schema import TruthRecord
    from ofa_bench.records.validation.validate import Context


@click.command()
@click.argument("which", nargs=-1, metavar="[RECORD…|DATASET]")
@click.option("-o", "--output", required=True, metavar="FILE.html", help="Where to write the page.")
@options("cost", "tables", "results", "json")
def command(
    which: tuple[str, ...],
    output: str,
    cost: str,
    tables: tuple[str, ...],
    results: str | None,
    as_json: bool,
) -> None:
    """Write records as one HTML page that needs no network and no server.

    All records, those of a data set or track, or the ones named; two named records are also held
    against each other, field by field.
    """
    from ofa_bench import api
    from ofa_bench.atomic_io import write_whole
    from ofa_bench.cli.views import cost as cost_view
    from ofa_bench.leaderboard.screening import held, screened
    from ofa_bench.report import Sources, page
    from ofa_bench.report.page import showable
    from ofa_bench.report.training import metered

    axis = cost_view.chosen(cost, tables)
    store = store_of(results)
    context = api.record_checks(candidates=False)
    named = _named(store, which)
    records = screened(named, context) if named else held(store, context=context)
    boards = cost_view.along(axis, _boards(store, records, () if named else which), records)
    for item in records.unranked:
        console.complain(f"not ranked: {item}", "`ofa-bench validate` names every finding")
    console.tell(f"{sum(standing.row.n for board in boards for standing in board.places)} records")
    sources = Sources(lambda record: metered(store.results, record), card_of)
    pair = (named[0].record, named[1].record) if len(named) == 2 else None
    unread = [f"{item.file}: {item.reason}" for item in records.unranked]
    boards, more = showable(boards, sources)
    truths, lines = _truths(store, boards, context)
    text = page(boards, sources, pair, [*unread, *more, *lines], truths)
    try:
        write_whole(Path(output), text)
    except BenchError as error:
        raise BenchError(error.message, "name another file with -o") from error
    names = [board.track.name for board in boards]
    console.result(as_json, {"file": output, "tracks": names, "bytes": len(text.encode())}, output)


def _named(store: Store, which: tuple[str, ...]) -> list[StoredRecord]:
    """The records named; none where a data set or track, or nothing, is meant."""
    try:
        return [store.find(name) for name in which]
    except UsageError:
        if len(which) > 1 or which[0].endswith(".json"):
            raise
        return []


def _boards(store: Store, records: Screened, which: tuple[str, ...]) -> list[Board]:
    from ofa_bench.leaderboard.board import boards_of
    from ofa_bench.leaderboard.board_files import choose

    boards = boards_of(records)
    if not boards:
        if records.unranked:
            raise UsageError(
                f"no record holds: {records.unranked[0]}",
                "`ofa-bench validate` names every finding",
            )
        raise UsageError(
            f"there are no records in {store.root}",
            "make some with `ofa-bench run` or `ofa-bench compare`, or say where with --results",
        )
    return choose(boards, which[0] if which else None)


def _truths(
    store: Store, boards: list[Board], context: Context
) -> tuple[list[TruthRecord], list[str]]:
    """The ground truth of the boards' data sets and spaces, and what of it does not hold."""
    from ofa_bench.records.truths.store import FOLDER

    if not (store.results / FOLDER).is_dir():
        return [], []
    from ofa_bench.leaderboard.truth.validate import held_truths

    records, broken = held_truths(store, context)
    meant = {(board.track.dataset, board.track.space) for board in boards}
    return [one for one in records if (one.dataset, one.space) in meant], broken


def card_of(method: str) -> str | None:
    """A method's card, where a plugin that may be loaded for a record has one."""
    from ofa_bench import api
    from ofa_bench.hooks.catalogue import trusted

    try:
        return api.card(method, trusted()).read_text(encoding="utf-8")
    except (BenchError, OSError, ValueError):
        return None
