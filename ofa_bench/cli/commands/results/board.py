"""`ofa-bench board`: leaderboards, computed from records and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ofa_bench.cli.options import options, store_of
from ofa_bench.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from ofa_bench.leaderboard.cost_axis import CostAxis
    from ofa_bench.records.store import Store
    from ofa_bench.records.validation.validate import Context


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
@click.option("--truth", is_flag=True, help="How supernets rank nets that were trained alone.")
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
    truth: bool,
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
    from ofa_bench.cli.views import board as board_view
    from ofa_bench.cli.views import cost as cost_view

    store, context = store_of(results), api.record_checks(candidates=False)
    form = "json" if as_json else form
    others = check or claims or curve or reach is not None
    if truth and (others or buckets or published):
        raise UsageError("--truth is a table of its own", "omit what is asked of boards")
    if buckets and others:
        raise UsageError("--buckets is a board's own", "omit --check, --claims, --curve, --reach")
    axis = cost_view.chosen(cost, tables, alone=not (others or buckets or truth))
    if truth:
        _truth(store, context, which, form)
    elif check:
        ctx.exit(1 if board_view.check(store.results, context, form) else 0)
    elif claims:
        board_view.show_claims(store.results, claims, context, form)
    elif curve or reach is not None:
        _curves(store, context, which, reach, form)
    elif buckets or cost != "macs":
        _boards(store, context, which, published, buckets, form, axis)
    else:
        _kept(store.results, context, which, published, form)


def _truth(store: Store, context: Context, which: str | None, form: str) -> None:
    from ofa_bench.cli.views.truth import show_kept

    show_kept(store, context, which, form)


def _curves(
    store: Store, context: Context, which: str | None, reach: float | None, form: str
) -> None:
    from ofa_bench.cli.views import board as board_view
    from ofa_bench.leaderboard.screening import held

    board_view.show_curves(held(store, context=context), which, reach, form)


def _kept(results: Path, context: Context, which: str | None, published: bool, form: str) -> None:
    """Boards over MACs, of which those whose records are as before are not made again."""
    from ofa_bench.cli.views import board as board_view
    from ofa_bench.leaderboard.kept_boards import kept_boards

    boards, unranked = kept_boards(results, context)
    chosen, papers = board_view.choose_boards(boards, unranked, which, published)
    if chosen:
        board_view.refresh(results, boards)
    board_view.show_all(chosen, unranked, papers, results, form)


def _boards(
    store: Store,
    context: Context,
    which: str | None,
    published: bool,
    buckets: bool,
    form: str,
    axis: CostAxis,
) -> None:
    from ofa_bench.cli.views import board as board_view
    from ofa_bench.cli.views import cost as cost_view
    from ofa_bench.leaderboard.board import boards_of
    from ofa_bench.leaderboard.kept_boards import shown
    from ofa_bench.leaderboard.screening import held

    screened = held(store, context=context)
    unranked = screened.unranked
    boards, papers = board_view.choose_boards(boards_of(screened), unranked, which, published)
    if boards:
        board_view.refresh(store.results)
    if buckets:
        board_view.show_buckets(boards, form)
    else:
        made = [shown(board) for board in cost_view.along(axis, boards, screened)]
        board_view.show_all(made, unranked, papers, store.results, form)
