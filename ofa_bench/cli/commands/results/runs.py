"""`ofa-bench runs`: what there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ofa_bench.cli import console
from ofa_bench.cli.options import options, store_of
from ofa_bench.formatting import count, percent

SHOWN = ("run", "status", "method", "dataset", "space", "seed")


@click.command()
@click.option(
    "--filter", "filters", multiple=True, metavar="K=V", help="As method=NAME; repeatable."
)
@options("results", "json")
def command(filters: tuple[str, ...], results: str | None, as_json: bool) -> None:
    """List finished, failed and begun runs.

    A filter compares a record's field, by dotted path (science.optim.lr=0.1) or by one of method,
    dataset, space, run, shrink, lr, distill, seed, status.
    """
    from ofa_bench.cli.views import board as board_view
    from ofa_bench.leaderboard.screening import intact

    store = store_of(results)
    entries = store.list(filters, broken=lambda error: console.complain(error.message, error.hint))
    screened = intact(entries)
    listed = [_of_record(entry.path, entry.record) for entry in screened.entries]
    known = {entry.record.run.id for entry in store.list(broken=lambda error: None)}
    listed += [run for run in begun_runs(store.results) if run["run"] not in known]
    listed = [run for run in listed if run["status"] != "begun" or _answers(run, filters)]
    if as_json:
        console.answer({"runs": listed, **board_view.unranked_document(screened.unranked)})
        return
    if not listed and not screened.unranked:
        console.say(f"no runs in {store.results}")
        return
    rows = [
        (*map(run.get, SHOWN), percent(run["mean_pareto_accuracy"]), count(run["train_macs"]))
        for run in listed
    ]
    console.table([*SHOWN[:-1], ">seed", ">mean Pareto, %", ">MACs"], rows)
    board_view.list_unranked(screened.unranked)


def _of_record(path: Path, record: Any) -> dict[str, Any]:
    return {
        "run": record.run.id,
        "status": record.status,
        "method": record.method.name,
        "dataset": record.task.dataset,
        "space": record.task.space.name,
        "seed": record.seed,
        "mean_pareto_accuracy": record.summary.mean_pareto_accuracy if record.summary else None,
        "train_macs": record.cost.train_macs,
        "started": record.run.started,
        "finished": record.run.finished,
        "record": str(path),
    }


def begun_runs(results: Path) -> list[dict[str, Any]]:
    """Runs that have a folder, whether they came to an end or not; unreadable ones are left out."""
    listed = []
    for path in sorted((results / "runs").glob("*/run.json")):
        try:
            begun = json.loads(path.read_text(encoding="utf-8"))
            science = begun["science"]
            run = {name: science[name] for name in ("method", "dataset", "space")}
            run |= {"seed": begun["seed"], "started": begun["started"]}
        except (OSError, ValueError, KeyError, TypeError):
            continue
        nothing = dict.fromkeys(("mean_pareto_accuracy", "train_macs", "finished", "record"))
        listed.append({"run": path.parent.name, "status": "begun", **run, **nothing})
    return listed


def _answers(run: dict[str, Any], filters: tuple[str, ...]) -> bool:
    pairs = (text.partition("=") for text in filters)
    return all(str(run.get(key.strip())) == value.strip() for key, _, value in pairs)
