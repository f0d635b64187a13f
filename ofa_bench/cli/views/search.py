"""How the answer of a search is shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from ofa_bench.cli import console
from ofa_bench.formatting import DASH, count, percent
from ofa_bench.records.searches.schema import SearchedNet, SearchRecord, search_values
from ofa_bench.sanitize import command_line
from ofa_bench.search.budget import spelled_amount

HIDDEN = ("scored", "trials")  # of the JSON answer: the record's file has them


def show(record: SearchRecord, path: str, as_json: bool, results: str | None = None) -> None:
    """A search: as JSON all but its scores, else what a person wants to know of it.

    `results`: the results folder that the command named, which the next command names too.
    """
    if as_json:
        values = search_values(record).items()
        answer = {name: value for name, value in values if name not in HIDDEN}
        console.answer({**answer, "record": path})
        return
    console.facts([*_facts(record), ("record", path)])
    console.say()
    if record.front:
        _front(record)
    else:
        _top(record)
    console.say()
    for line in _going_on(record, ["--results", results] if results else []):
        console.say(line)


def _facts(record: SearchRecord) -> Iterator[tuple[str, str]]:
    best, budget = record.best, record.budget
    if record.front:
        yield "front", f"{len(record.front)} budgets of {budget.unit}, {record.space}, {record.run}"
    else:
        yield "best", f"{best.name}, inside {_amount(budget.value, record)} of {record.space}"
        yield "costs", _costs(best)
        if best.measured is not None and best.measured > (budget.value or best.measured):
            many, most = len(record.top), _amount(budget.value, record)
            yield "mind", f"measured whole, none of the {many} best is within {most}: ask for less"
        yield "top-1 on test", _accuracy(best.top1_test, best.test_low, best.test_high)
        yield "top-1 on select", _accuracy(best.top1_select, best.select_low, best.select_high)
    yield "looked at", _looked_at(record)
    if not record.front and not record.exhaustive:
        drawn, largest = record.baselines.random, record.baselines.macs_alone
        if drawn is not None:
            yield "best of random", f"{_against(drawn, best)}: {len(record.trials.random)} subnets"
        if largest is not None:
            yield "most MACs", f"{_against(largest, best)}: what MACs alone would choose"
        if record.best_by != "searcher":
            by = "a random draw" if record.best_by == "random" else "MACs alone"
            yield "mind", f"{record.searcher.name} did not propose the best: {by} did"
    quality = record.predictor
    if quality is not None:
        ceiling = DASH if quality.ceiling is None else f"{quality.ceiling:.2f}"
        yield (
            "predictor",
            f"tau {quality.tau:.2f} ({quality.low:.2f} to {quality.high:.2f}) on {quality.nets} "
            f"unseen subnets; MACs alone {quality.tau_macs_alone:.2f}; "
            f"select against test on the record's {ceiling}",
        )
        if quality.tau <= quality.tau_macs_alone:
            yield "mind", "the predictor ranks no better than MACs alone: score more subnets"


def _looked_at(record: SearchRecord) -> str:
    if record.exhaustive:
        return f"all {record.nets:,} subnets of the space: there is no better one on select"
    return (
        f"{record.evaluated:,} of {count(record.nets)} subnets: {len(record.trials.searcher)} by "
        f"{record.searcher.name}, {len(record.trials.random)} at random"
    )


def _amount(value: float | None, record: SearchRecord) -> str:
    if value is None:
        return "every budget"
    if record.budget.kind == "latency":
        return f"{value:g} ms"
    return f"{count(value)} {record.budget.unit}"


def _costs(net: SearchedNet) -> str:
    parts = [f"{count(net.macs)} MACs", f"{count(net.params)} parameters"]
    parts += [f"{net.latency:.3g} ms by the table"] if net.latency is not None else []
    parts += [f"{net.measured:.3g} ms measured"] if net.measured is not None else []
    return ", ".join(parts)


def _accuracy(top1: float | None, low: float | None, high: float | None) -> str:
    return DASH if top1 is None else f"{percent(top1)} %, {percent(low)} to {percent(high)}"


def _against(net: SearchedNet, best: SearchedNet) -> str:
    return f"{percent(net.top1_select)} % on select ({net.top1_select - best.top1_select:+.2f})"


def _top(record: SearchRecord) -> None:
    timed = record.budget.kind == "latency"
    columns = ["rank", "subnet", ">MACs", ">parameters"]
    columns += [">ms, table", ">ms, measured"] if timed else []
    rows = [
        (
            rank,
            net.name,
            count(net.macs),
            count(net.params),
            *([_ms(net.latency), _ms(net.measured)] if timed else []),
            percent(net.top1_select),
        )
        for rank, net in enumerate(record.top, 1)
    ]
    console.table([*columns, ">top-1 select, %"], rows)


def _ms(value: float | None) -> str:
    return DASH if value is None else f"{value:.3g}"


def _front(record: SearchRecord) -> None:
    timed = record.budget.kind == "latency"
    rows = []
    for _, budgets in groupby(record.front, key=lambda net: net.subnet):
        net = next(budgets)
        rows.append(
            (
                f"{net.budget:.3g} ms" if timed else count(net.budget),
                net.name,
                count(net.macs),
                percent(net.top1_select),
                percent(net.top1_test),
                percent(net.random),
                percent(net.macs_alone),
            )
        )
    accuracies = [">top-1 select, %", ">top-1 test, %", ">random, %", ">most MACs, %"]
    console.table([">budget", "subnet", ">MACs", *accuracies], rows)


def _going_on(record: SearchRecord, results: Sequence[str]) -> Iterator[str]:
    if record.front or record.budget.value is None:
        budget = (f"--{record.budget.kind}", "BUDGET")
        line = command_line("ofa-bench", "search", record.run, *budget, *results)
        yield f"to name one of them best@BUDGET, search for it: {line}"
        return
    name = nickname(record)
    line = command_line("ofa-bench", "evaluate", record.run, "--subnet", name, *results)
    yield f"its name is {name}: {line}"


def nickname(record: SearchRecord) -> str:
    """The name by which a search's answer can be called: `best@3M`."""
    value, kind = record.budget.value or 0.0, record.budget.kind
    if kind == "latency":
        return f"best@{spelled_amount(value)}ms"
    for factor, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value % factor == 0:
            return f"best@{value // factor:.0f}{letter}{'params' if kind == 'params' else ''}"
    return f"best@{value:.0f}{'params' if kind == 'params' else ''}"
