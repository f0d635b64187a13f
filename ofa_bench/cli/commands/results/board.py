"""`ofa-bench board`: leaderboards, computed from records and nothing else."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ofa_bench.cli import console
from ofa_bench.cli.options import options
from ofa_bench.errors import UsageError
from ofa_bench.formatting import DASH
from ofa_bench.sanitize import command_line, command_words

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ofa_bench.leaderboard.board import Board
    from ofa_bench.leaderboard.cost_axis import CostAxis
    from ofa_bench.leaderboard.published import Published
    from ofa_bench.leaderboard.screening import Screened, Unranked
    from ofa_bench.records.store import Store, StoredRecord


@click.command()
@click.argument("which", required=False, metavar="[DATASET|TRACK]")
@click.option("--check", is_flag=True, help="Compare the kept boards with the records; exit 1.")
@click.option("--published", is_flag=True, help="What papers print on a data set, beside.")
@click.option("--curve", is_flag=True, help="Accuracy against cost over several budgets.")
@click.option(
    "--reach", type=float, metavar="PERCENT", help="With --curve: what that accuracy costs."
)
@click.option("--claims", metavar="PAPER", help="A paper's claims, judged on the records.")
@click.option("--buckets", is_flag=True, help="The best net of every row by ranges of MACs.")
@click.option(
    "--format", "form", type=click.Choice(["table", "md", "json"]), default="table", help="How."
)
@options("cost", "tables", "results", "json")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    which: str | None,
    check: bool,
    published: bool,
    curve: bool,
    reach: float | None,
    claims: str | None,
    buckets: bool,
    form: str,
    cost: str,
    tables: tuple[str, ...],
    results: str | None,
    as_json: bool,
) -> None:
    """Show leaderboards: a data set's, a track's, or all.

    They are computed from records, and kept in the results folder's boards/. --check writes
    nothing: it exits with 1 where a kept board is not what the records say.
    """
    from ofa_bench import api
    from ofa_bench.cli.views import cost_axis
    from ofa_bench.records.store import Store

    store = Store(api.results_root(results))
    form = "json" if as_json else form
    others = check or claims or curve or reach is not None
    if buckets and others:
        raise UsageError("--buckets is a board's own", "omit --check, --claims, --curve, --reach")
    axis = cost_axis.chosen(cost, tables, alone=not (others or buckets))
    if check:
        ctx.exit(_check(store, form))
    if claims:
        _claims(store, claims, form)
    elif curve or reach is not None:
        _curves(store, which, reach, form)
    else:
        _boards(store, which, published, form, axis, buckets)


def _claims(store: Store, paper: str, form: str) -> None:
    from ofa_bench import api
    from ofa_bench.leaderboard.claims import findings, to_markdown

    verdicts = findings(store.results, paper, api.record_checks(candidates=False))
    if form == "json":
        console.answer({"claims": [asdict(verdict) for verdict in verdicts]})
    else:
        console.raw(to_markdown(verdicts))


def _curves(store: Store, which: str | None, reach: float | None, form: str) -> None:
    from ofa_bench.cli.views import board as board_view
    from ofa_bench.cli.views import cost_curves
    from ofa_bench.leaderboard.by_cost.cost_curves import families
    from ofa_bench.records.track import track_of

    screened = _screened(store)
    records: Sequence[StoredRecord] = screened.entries
    if which:
        records = [e for e in records if track_of(e.record).name.startswith(f"{which}-")]
    chosen = families(records)
    if form == "json":
        unranked = board_view.unranked_document(screened.unranked)
        console.answer({"families": cost_curves.document(chosen, reach), **unranked})
    elif form == "md":
        console.raw(cost_curves.markdown(chosen, reach))
    elif chosen:
        cost_curves.show(chosen, reach)
    else:
        console.say("no rows at two sizes of a budget; compare --curve makes them")
    if form == "table":
        board_view.list_unranked(screened.unranked)


def _boards(
    store: Store,
    which: str | None,
    published: bool,
    form: str,
    axis: CostAxis,
    buckets: bool = False,
) -> None:
    from ofa_bench.cli.views import board as board_view
    from ofa_bench.cli.views import cost_axis
    from ofa_bench.leaderboard.board import boards_of
    from ofa_bench.leaderboard.board_files import choose
    from ofa_bench.leaderboard.export import to_markdown

    screened = _screened(store)
    boards = boards_of(screened)
    papers = published_for(which, boards) if published else []
    mine = [item for item in boards if not papers or item.track.name.startswith(f"{which}-")]
    chosen = choose(mine, which if mine or (not papers and not screened.unranked) else None)
    if chosen:
        board_view.refresh(store.results)
    if buckets:
        _buckets(chosen, form)
        return
    chosen = cost_axis.along(axis, chosen, screened)
    if form == "json":
        more: dict[str, Any] = (
            {"published": [asdict(paper) for paper in papers]} if published else {}
        )
        more |= board_view.unranked_document(screened.unranked)
        console.answer(board_view.document(chosen, **more))
    elif form == "md":
        console.raw("\n".join(to_markdown(item) for item in chosen))
    else:
        for paper in papers:
            show_paper(paper)
        _show(chosen, store, screened.unranked)
        board_view.list_unranked(screened.unranked)


def _buckets(boards: Sequence[Board], form: str) -> None:
    from ofa_bench.leaderboard.by_cost import buckets
    from ofa_bench.leaderboard.published import published

    documents, pages = [], []
    for board in boards:
        papers = published(board.track.dataset)
        if form == "json":
            documents.append(buckets.ranges_json(board, papers))
        elif form == "md":
            pages.append(buckets.ranges_markdown(board, papers))
        else:
            rows = list(buckets.lines_of(buckets.ranges_of(board, papers)))
            console.table(buckets.HEADS, rows, board.track.name)
            for line in (buckets.NOTE, *buckets.notes_of(board, papers)):
                console.say(line)
    if form == "json":
        console.answer({"boards": documents})
    elif form == "md":
        console.raw("\n".join(pages))
    elif not boards:
        console.say("no board to show ranges of")


def _screened(store: Store) -> Screened:
    from ofa_bench import api
    from ofa_bench.leaderboard.screening import held

    return held(store, context=api.record_checks(candidates=False))


def _show(boards: list[Board], store: Store, unranked: Sequence[Unranked]) -> None:
    from ofa_bench.cli.views import board as board_view

    if not boards and not unranked:
        console.say(f"no records in {store.results}")
    for index, board in enumerate(boards):
        if index:
            console.say()
        board_view.show(board, board.track.name)
        if board.axis.about:
            console.say(f"budgets {board.axis.span(*board.range)}; {board.axis.about}")
        for line in board.more:
            console.say(f"more seeds: {into(line, store.results)}")


def into(line: str, results: Path) -> str:
    """A line of ours with `--results` of this folder, so that what it adds lies beside."""
    from ofa_bench import api

    words = [word for word in command_words(line) or [] if not word.startswith("--results=")]
    while "--results" in words:
        at = words.index("--results")
        del words[at : at + 2]
    if results == api.results_root(None):
        return command_line(*words)
    return command_line(*words, "--results", results)


def published_for(which: str | None, boards: list[Board]) -> list[Published]:
    """The papers' figures on the data set that was asked for, or those of the boards' own."""
    from ofa_bench.leaderboard.published import published

    datasets = [which] if which else sorted({item.track.name.partition("-")[0] for item in boards})
    return [paper for dataset in datasets for paper in published(dataset)]


def show_paper(paper: Published) -> None:
    """A paper's rows; they are never ranked with measured ones."""
    columns = ("published", ">mean Pareto, %", ">smallest", ">largest", ">epochs", ">GPU-h", ">$")
    rows = [
        [
            row.method,
            DASH if row.mean_pareto is None else f"{row.mean_pareto:.1f}",
            *(DASH if value is None else value for value in (row.smallest, row.largest)),
            *(DASH if value is None else value for value in (row.epochs, row.gpu_hours)),
            DASH if row.dollars is None else row.dollars,
        ]
        for row in paper.rows
    ]
    console.table(columns, rows, "")
    if paper.reference:
        console.table(("single net", ">M MACs", ">top-1, %"), paper.reference, "")
    for line in (f"source: {paper.source}", *paper.notes):
        console.say(line)
    console.say()


def _check(store: Store, form: str) -> int:
    from ofa_bench import api
    from ofa_bench.leaderboard.board_files import check_boards

    differences = check_boards(store.results, api.record_checks(candidates=False))
    if form == "json":
        console.answer({"ok": not differences, "differences": differences})
    else:
        for line in differences or [f"the boards in {store.results} are what the records say"]:
            console.say(line)
    return 1 if differences else 0
