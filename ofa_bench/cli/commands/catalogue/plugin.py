"""`ofa-bench plugin`: begin a plugin, hold it to the contract, explain a composition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ofa_bench.cli import console
from ofa_bench.cli.commands.catalogue.explain import command as explain
from ofa_bench.cli.options import json_option
from ofa_bench.sanitize import command_line

CHECK = ("ofa-bench", "plugin", "check")


@click.group()
def command() -> None:
    """Write, check and explain plugins."""


@command.command()
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(["shrink", "lr", "distill", "method", "extra", "space", "dataset", "board"]),
    default="shrink",
    show_default=True,
)
@click.option("--single-file", is_flag=True, help="One .py file for --plugin, no package.")
@click.option("--to", metavar="DIR", default=".", help="Where to write it; here unless given.")
@json_option
def new(name: str, kind: str, single_file: bool, to: str, as_json: bool) -> None:
    """Write a plugin called NAME that trains as it is.

    Of the kind board, a repository for records instead: its checks validate pull requests, and its
    site shows the boards.
    """
    from ofa_bench.testing.scaffold import new_plugin

    paths = new_plugin(name, kind, Path(to), single_file)
    if as_json:
        console.answer({"name": name, "kind": kind, "files": [str(path) for path in paths]})
        return
    for path in paths:
        console.say(str(path))
    console.say()
    if kind == "board":
        console.say(f"read next: {Path(to) / f'ofa-bench-{name}' / 'README.md'}")
    elif single_file:
        console.say(f"check it: {command_line(*CHECK, paths[0])}")
    else:
        home = Path(to) / f"ofa-bench-{name}"
        # With a separator, or pip would look for the name on its index.
        folder = home if len(home.parts) > 1 else f"./{home}"
        console.say(f"install it: {command_line('pip', 'install', folder)}")
        console.say(f"check it: {command_line(*CHECK, name)}")


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
    text = f"{len(report.broken)} clauses are broken" if report.broken else "all clauses are kept"
    console.say(f"{text}; {report.seconds:.0f} s")
    return 0 if report.ok else 1


def _show_broken(verdict: Any) -> None:
    console.say()
    console.say(f"{verdict.subject}: {verdict.clause}")
    pairs = [("expected", verdict.expected), ("observed", verdict.observed)]
    if verdict.step is not None:
        pairs.append(("at step", str(verdict.step)))
    console.facts([*pairs, ("line", verdict.where or "not known"), ("see", verdict.see)])


command.add_command(explain, "explain")
