"""`ofa-bench plugin explain`: who answers each hook of a run and why, and what follows from it."""

from __future__ import annotations

import os
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import click

from ofa_bench.cli import console
from ofa_bench.cli.options import asked_of, json_option, run_options
from ofa_bench.formatting import count, rate

if TYPE_CHECKING:
    from ofa_bench.recipe import Request

POINTS = 12  # steps at which rates are told, beside those where something turns
BAR = 24  # characters of the highest rate's bar


@click.command()
@run_options()
@json_option
def command(as_json: bool, **values: Any) -> None:
    """Say who answers each hook of a run and why, and what follows from the answers.

    Draws, rates over time, cost by role, and the fit checks that were passed. With
    OFA_BENCH_TRACE=1 each hook call is told with its time.
    """
    from ofa_bench import api
    from ofa_bench.planning.assemble import assemble
    from ofa_bench.planning.forecast import Forecast

    asked = asked_of(values)
    assembly = assemble(asked, api.catalogue_for(asked))
    timed = _timed(assembly.bus)
    forecast = Forecast(assembly)
    document = forecast.document(assembly.schedule.edges[:-1])
    answer = {
        **{key: document[key] for key in ("method", "composition", "phases", "macs")},
        "draws": {p.name: dict(p.passes) for p in assembly.schedule.phases},
        "first_draws": document["draws"],
        "hooks": hooks_of(assembly, asked),
        "wrappers": assembly.bus.wrappers,
        "rates": rates_of(forecast),
        "cost": cost_of(document),
        "fit": fit_of(assembly),
        "calls": {hook: {"calls": n, "micros": micros} for hook, (n, micros) in timed.items()},
    }
    if as_json:
        console.answer(answer)
    else:
        _show(answer)


def _timed(bus: Any) -> dict[str, list[float]]:
    """Calls and microseconds by hook, counted from here on where OFA_BENCH_TRACE asks for it."""
    spent: dict[str, list[float]] = defaultdict(lambda: [0, 0.0])
    if os.environ.get("OFA_BENCH_TRACE", "") not in ("", "0"):
        from ofa_bench.training.callbacks import Trace

        def show_call(hook: str, who: str, micros: float) -> None:
            spent[hook][0] += 1
            spent[hook][1] += micros
            console.tell(f"{hook} of {who}: {micros:.0f} µs")

        trace = Trace(show_call)
        bus.monitor(trace.before, trace.after)
    return spent


def hooks_of(assembly: Any, asked: Request) -> list[dict[str, str]]:
    """Who answers each hook, from where, and why it is that one."""
    rows = []
    for hook, name in assembly.bus.answers():
        chosen = getattr(assembly.science, name, None)
        named = "with" if chosen is None else name if getattr(asked, name) else ""
        rows.append(
            {
                "hook": hook,
                "answered by": f"{name} {chosen.name}" if chosen else f"extra {name}",
                "from": str(assembly.origins.get(name) or ""),
                "why": f"--{named}" if named else f"of method {assembly.recipe.base}",
            }
        )
    return rows


def rates_of(forecast: Any) -> list[dict[str, Any]]:
    """The rate and the shares at steps spread evenly, and where something turns."""
    steps = forecast.schedule.steps
    turns = {index: what for what, index in forecast.turns()}
    even = {number * (steps - 1) // POINTS for number in range(POINTS + 1)}
    return [forecast.edge(turns.get(index, ""), index) for index in sorted(even | turns.keys())]


def cost_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Passes and training MACs by role, over all phases."""
    macs: dict[str, int] = defaultdict(int)
    passes: dict[str, int] = defaultdict(int)
    for phase in document["phases"]:
        for role, spent in phase["macs"].items():
            macs[role] += spent
            passes[role] += phase["passes"][role]
    total = sum(macs.values()) or 1
    return [
        {"role": role, "passes": passes[role], "macs": macs[role], "share": macs[role] / total}
        for role in macs
    ]


def fit_of(assembly: Any) -> list[str]:
    """The fit checks that this composition passed, in words."""
    policies = assembly.recipe.policies
    lines = [
        "each hook of a family has one answer, its owner's",
        f"the phases sum to {assembly.schedule.budget.epochs:g} epochs",
    ]
    for role in sorted(policies["distill"].needs):
        lines.append(f"every phase draws the {role} net, which distillation learns from")
    taught = [name for name, teacher in assembly.teachers.items() if teacher is not None]
    if taught:
        lines.append(f"a teacher that was trained exists for: {', '.join(taught)}")
    if policies["lr"].needs_ramp:
        lines.append("a phase continues another, so there is a place to ramp up from")
    return lines


def _show(document: dict[str, Any]) -> None:
    columns = list(document["hooks"][0])
    console.table(
        columns, [list(row.values()) for row in document["hooks"]], document["composition"]
    )
    console.say()
    console.facts([("wrappers", ", ".join(document["wrappers"]) or "none")])
    for line in document["fit"]:
        console.facts([("fits", line)])
    _show_draws(document)
    _show_rates(document["rates"])
    rows = [
        [row["role"], f"{row['passes']:,}", count(row["macs"]), f"{100 * row['share']:.1f} %"]
        for row in document["cost"]
    ]
    console.say()
    console.table(["role", ">passes", ">training MACs", ">share"], rows, "cost")
    if document["calls"]:
        lines = [
            [hook, f"{row['calls']:,}", f"{row['micros'] / row['calls']:.0f}"]
            for hook, row in document["calls"].items()
        ]
        console.say()
        console.table(["hook", ">calls", ">µs a call"], lines, "time by hook")


def _show_draws(document: dict[str, Any]) -> None:
    rows = []
    for phase, first in zip(document["phases"], document["first_draws"], strict=True):
        line = ", ".join(f"{n} {role}" for role, n in document["draws"][phase["name"]].items())
        drawn = first["draws"]
        nets = "depends on weights" if drawn is None else ", ".join(d["name"] for d in drawn)
        rows.append([phase["name"], f"{phase['steps']:,}", line, nets])
    console.say()
    console.table(["phase", ">steps", "each step draws", "its first step"], rows)


def _show_rates(rates: list[dict[str, Any]]) -> None:
    highest = max(edge["lr"] for edge in rates) or 1
    rows = [
        [
            f"{edge['step']:,}",
            f"{edge['epoch']:.4g}",
            rate(edge["lr"]),
            rate(edge["share"]),
            "█" * round(BAR * edge["lr"] / highest),
            edge["what"],
        ]
        for edge in rates
    ]
    console.say()
    console.table([">step", ">epoch", ">LR", ">ε", "", "where"], rows, "rates over time")
