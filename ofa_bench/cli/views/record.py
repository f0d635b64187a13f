"""How one run's record is shown."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ofa_bench.cli import console
from ofa_bench.cli.views.board import refresh
from ofa_bench.formatting import DASH, count, duration, money, percent
from ofa_bench.planning.assemble import Assembly
from ofa_bench.records.pareto import front
from ofa_bench.records.parts import Ancestor, Cost
from ofa_bench.records.schema import Record, Score, plain
from ofa_bench.records.store import Store
from ofa_bench.records.track import budget_label, table
from ofa_bench.runs.single import UnevaluatedRun


def headline(assembly: Assembly) -> str:
    """What is about to run, in a line."""
    science, schedule = assembly.science, assembly.schedule
    macs = sum(cost.total for cost in assembly.cost)
    return (
        f"{science.method} on {science.dataset}, space {science.space}, "
        f"seed {assembly.recipe.seed}: {length(assembly)}, {schedule.steps:,} steps, "
        f"{count(macs)} MACs"
    )


def length(assembly: Assembly) -> str:
    """The budget as people say it: `paper×0.037, 10 epochs`."""
    budget = assembly.science.budget
    epochs = f"{assembly.schedule.budget.epochs:.4g} epochs"
    if budget.rule == "paper":
        return f"paper×{assembly.published_share:.3g}, {epochs}"
    if budget.rule == "matched":
        return f"matched to {budget.epochs:.4g} full-net epochs, {epochs}"
    return epochs


def conclude(record: Record, results: Path, as_json: bool) -> None:
    """Write a results folder's boards anew, and show the record that a run has left there."""
    refresh(results)
    show(record, Store(results).path(record), as_json)


def show(record: Record, path: Path | None, as_json: bool) -> None:
    """A finished run: as JSON the whole record, else what a person wants to know of it."""
    if as_json:
        console.answer(plain(record))
        return
    console.facts(_facts(record, path))


def show_trained(trained: UnevaluatedRun, as_json: bool) -> None:
    """A run that is trained and not evaluated yet: what to type."""
    if as_json:
        values = {"run": trained.run, "status": "trained", "folder": str(trained.folder)}
        console.answer({**values, "evaluate": trained.evaluate})
        return
    console.say(f"{trained.run} is trained, and not evaluated yet. Its record is written by:")
    console.say(trained.evaluate)


def show_fully(record: Record, path: Path | None, as_json: bool) -> None:
    """As `show`, with phases and the nets a user would deploy."""
    show(record, path, as_json)
    if as_json:
        return
    console.say()
    console.table(
        ["phase", ">epochs", ">steps", ">passes", ">MACs", ">device time", ">waiting"],
        [
            (
                phase.name,
                f"{phase.epochs:.2f}",
                f"{phase.steps:,}",
                count(sum(phase.passes.values())),
                count(sum(phase.macs.values())),
                duration(phase.device_seconds),
                f"{phase.waiting_share:.0%}",
            )
            for phase in record.cost.phases
        ],
    )
    if record.scores:
        console.say()
        _front(record)


def score_rows(scores: Iterable[Score]) -> list[tuple[str, ...]]:
    """Name, MACs, parameters and both accuracies of scored subnets."""
    return [
        (
            score.name,
            count(score.macs),
            count(score.params),
            percent(score.top1_select),
            percent(score.top1_test),
        )
        for score in scores
    ]


def _front(record: Record) -> None:
    scores = [record.scores[tread.candidate] for tread in front(record.scores)]
    console.table(
        ["deployed net", ">MACs", ">params", ">top-1 select", ">top-1 test"],
        score_rows(scores),
        f"Best on select for each budget, of {len(record.scores)} candidates",
    )


def _facts(record: Record, path: Path | None) -> list[tuple[str, object]]:
    task, summary = record.task, record.summary
    pairs: list[tuple[str, object]] = [
        ("run", record.run.id),
        ("status", record.status + (f": {record.error}" if record.error else "")),
        ("method", f"{record.method.name} ({record.method.composition})"),
        ("task", f"{task.dataset}, space {task.space.name}, seed {record.seed}"),
        ("budget", budget_label(table(record.science, "budget"))),
    ]
    if summary is not None:
        pairs += [
            ("mean Pareto accuracy", f"{percent(summary.mean_pareto_accuracy)} %"),
            ("largest net", f"{percent(summary.largest_top1)} %"),
            ("smallest net", f"{percent(summary.smallest_top1)} %"),
        ]
    pairs += [
        *_training(record),
        ("machine", f"{record.machine.model}, {record.machine.threads} threads"),
    ]
    if path is not None:
        pairs.append(("record", path))
    return pairs


def _training(record: Record) -> list[tuple[str, object]]:
    """What the training cost, what it came on top of, and whose weights it is about."""
    adoption, ancestor = record.adoption, record.ancestor
    if adoption is not None:
        eps = f"batch-norm epsilon {adoption.norm_eps:g} ({adoption.norm_eps_source})"
        return [("weights", f"{adoption.file}, trained elsewhere; {eps}")]
    pairs: list[tuple[str, object]] = [("training", _price(record.cost))]
    if ancestor is not None:
        known = ancestor.train_macs is not None
        before = _price(ancestor) if known else "a cost that is not known"
        pairs.append(("on top of", f"{before}, for {ancestor.run}, whose {ancestor.name} it is"))
    return pairs


def _price(cost: Cost | Ancestor) -> str:
    usd = DASH if cost.usd is None else money(cost.usd)
    return f"{count(cost.train_macs)} MACs, {duration(cost.device_seconds)}, $ {usd}"
