"""`ofa-bench plugin`: begin a plugin, hold it to the contract, explain a composition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ofa_bench.cli import console
from ofa_bench.cli.options import asked_of, json_option, run_options


@click.group()
def command() -> None:
    """Write, check and explain plugins."""


@command.command()
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(["shrink", "lr", "distill", "method", "extra", "space", "dataset"]),
    default="shrink",
    show_default=True,
)
@click.option("--single-file", is_flag=True, help="One .py file for --plugin, no package.")
@click.option("--to", metavar="DIR", default=".", help="Where to write it; here unless given.")
@json_option
def new(name: str, kind: str, single_file: bool, to: str, as_json: bool) -> None:
    """Write a plugin called NAME that trains as it is."""
    from ofa_bench.testing.template import new_plugin

    paths = new_plugin(name, kind, Path(to), single_file)
    if as_json:
        console.answer({"name": name, "kind": kind, "files": [str(path) for path in paths]})
        return
    for path in paths:
        console.say(str(path))
    console.say()
    if single_file:
        console.say(f"check it: ofa-bench plugin check {paths[0]}")
    else:
        console.say(f"install it: pip install {Path(to) / f'ofa-bench-{name}'}")
        console.say(f"check it: ofa-bench plugin check {name}")


@command.command()
@click.argument("name")
@json_option
@click.pass_context
def check(ctx: click.Context, name: str, as_json: bool) -> int:
    """Hold plugin NAME, or a single-file plugin, to the contract; exit 1 if a clause is broken."""
    from ofa_bench.testing import check_plugin

    report = check_plugin(name)
    if as_json:
        console.answer(report.to_json())
        return 0 if report.ok else 1
    marks = {True: "ok", False: "BROKEN", None: "–"}
    rows = [[v.subject, v.clause, marks[v.ok]] for v in report.verdicts]
    console.table(["part", "clause", "verdict"], rows, f"{report.plugin} ({report.origin})")
    for verdict in report.broken:
        _show_broken(verdict)
    console.say()
    told = f"{len(report.broken)} clauses are broken" if report.broken else "all clauses are kept"
    console.say(f"{told}; {report.seconds:.0f} s")
    return 0 if report.ok else 1


def _show_broken(verdict: Any) -> None:
    console.say()
    console.say(f"{verdict.subject}: {verdict.clause}")
    pairs = [("expected", verdict.expected), ("found", verdict.found)]
    if verdict.step is not None:
        pairs.append(("at step", str(verdict.step)))
    console.facts([*pairs, ("line", verdict.where or "not known"), ("see", verdict.see)])


@command.command()
@run_options()
@json_option
def explain(as_json: bool, **values: Any) -> None:
    """Say who answers each hook of a run and why, and what follows from the answers."""
    from ofa_bench import api
    from ofa_bench.cli.outlook import Outlook
    from ofa_bench.engine.assemble import assemble

    asked = asked_of(values)
    assembly = assemble(asked, api.catalogue_for(asked))
    outlook = Outlook(assembly).document()
    found = {
        **{key: outlook[key] for key in ("method", "composition", "phases", "edges", "macs")},
        "draws": {p.name: dict(p.passes) for p in assembly.schedule.phases},
        "hooks": hooks_of(assembly),
        "wrappers": assembly.bus.wrappers,
        "fit": fit_of(assembly),
    }
    if as_json:
        console.answer(found)
        return
    _show_hooks(found)
    _show_phases(found)


def hooks_of(assembly: Any) -> list[dict[str, str]]:
    """Who answers each hook, from where, and why it is that one."""
    rows = []
    for hook, name in assembly.bus.answers():
        origin = assembly.origins.get(name)
        chosen = getattr(assembly.science, name, None)
        rows.append(
            {
                "hook": hook,
                "answered by": f"{name} {chosen.name}" if chosen else f"extra {name}",
                "from": str(origin or ""),
                "why": "the chosen policy of its family" if chosen else "added by --with",
            }
        )
    return rows


def fit_of(assembly: Any) -> list[str]:
    """The fit checks that this composition passed, in words."""
    policies, phases = assembly.recipe.policies, assembly.schedule.phases
    told = [f"{len(phases)} phases sum to {assembly.schedule.budget.epochs:g} epochs"]
    for role in sorted(policies["distill"].needs):
        told.append(f"every phase draws the {role} net, which distillation learns from")
    taught = [name for name, teacher in assembly.teachers.items() if teacher is not None]
    if policies["distill"].needs_teacher:
        told.append(f"a trained teacher exists for: {', '.join(taught)}")
    if policies["lr"].needs_ramp:
        told.append("a phase continues another, so there is a place to ramp up from")
    return told


def _show_hooks(found: dict[str, Any]) -> None:
    columns = list(found["hooks"][0])
    console.table(columns, [list(row.values()) for row in found["hooks"]], found["composition"])
    console.say()
    console.facts([("wrappers", ", ".join(found["wrappers"]) or "none")])
    for line in found["fit"]:
        console.facts([("fits", line)])
    console.say()


def _show_phases(found: dict[str, Any]) -> None:
    from ofa_bench.numbers import count, rate

    rows = [
        [
            phase["name"],
            f"{phase['steps']:,}",
            ", ".join(f"{n} {role}" for role, n in found["draws"][phase["name"]].items()),
            f"{rate(phase['lr_first'])} → {rate(phase['lr_last'])}",
            ", ".join(f"{role} {count(macs)}" for role, macs in phase["macs"].items()),
        ]
        for phase in found["phases"]
    ]
    console.table(["phase", ">steps", "each step draws", "LR", "MACs"], rows)
