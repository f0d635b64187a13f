"""`ofa-bench show`: one record, or a method's fidelity card."""

from __future__ import annotations

import click

from ofa_bench.cli import console
from ofa_bench.cli.options import Name, options, store_of
from ofa_bench.errors import UsageError
from ofa_bench.sanitize import command_line


@click.command()
@click.argument("run", required=False)
@click.option("--card", type=Name("method"), metavar="METHOD", help="Show a method's card.")
@options("results", "json")
def command(run: str | None, card: str | None, results: str | None, as_json: bool) -> None:
    """Show one record, or a method's card.

    RUN is a run's name or the beginning of it; a card says how faithful a method is to its paper.
    """
    if (run is None) == (card is None):
        raise click.UsageError("Give either RUN or --card METHOD.")
    if card is not None:
        _show_card(card, as_json)
    elif run is not None:
        _show_run(run, results, as_json)


def _show_card(method: str, as_json: bool) -> None:
    from ofa_bench import api

    path = api.card(method)
    text = path.read_text(encoding="utf-8")
    if as_json:
        console.answer({"method": method, "path": str(path), "card": text})
    else:
        console.page(text)


def _show_run(name: str, results: str | None, as_json: bool) -> None:
    from ofa_bench.cli.commands.results.runs import begun_runs
    from ofa_bench.cli.views.record import show_fully

    store = store_of(results)
    try:
        entry = store.find(name)
    except UsageError:
        begun = [run for run in begun_runs(store.results) if run["run"].startswith(name)]
        if len(begun) != 1:
            raise
        if as_json:
            console.answer(begun[0])
        else:
            console.facts([(key, value) for key, value in begun[0].items() if value is not None])
            console.tell(f"go on with: {command_line('ofa-bench', 'resume', begun[0]['run'])}")
        return
    show_fully(entry.record, entry.path, as_json)
