"""`ofa-bench latency`: tables of measured block times, and whether one fits a run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ofa_bench.cli import console
from ofa_bench.cli.options import Name, options

if TYPE_CHECKING:
    from ofa_bench.search.latency_table import LatencyTable

LINE_EVERY = 10.0  # seconds between lines of a log


@click.group()
def command() -> None:
    """Measure how long the subnets of a space take on a device."""


@command.command()
@click.argument("target", metavar="SPACE|RUN")
@click.option("--device", type=Name("device"), required=True, help="As `list devices` has them.")
@click.option(
    "--batch", type=click.IntRange(1, 65_536), default=1, show_default=True, help="Images a call."
)
@click.option(
    "--threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="CPU threads."
)
@click.option(
    "--resolution",
    "resolutions",
    type=click.IntRange(min=1),
    multiple=True,
    help="Repeatable; by default those that the space lists.",
)
@click.option("--classes", type=click.IntRange(1, 1_000_000), help="Of a SPACE: 1000 unless given.")
@click.option(
    "--shortcuts",
    type=click.Choice(["identity", "everywhere"]),
    help="Of a SPACE, as net.shortcuts; identity unless given.",
)
@click.option(
    "--rounds",
    type=click.IntRange(2, 100_000),
    default=20,
    show_default=True,
    help="How often all is measured.",
)
@click.option("-o", "--output", required=True, metavar="FILE.toml", help="The table to write.")
@options("plugins", "trust", "results", "json")
def measure(target: str, output: str, as_json: bool, **values: Any) -> None:
    """Time every distinct block of a space, and check the sums on whole nets.

    The file is written at the end, whole; nothing is written when it is stopped before.
    """
    from ofa_bench import api

    with _watching() as watch:
        table = api.latency(target, output=output, watch=watch, **values)
    _show(table, output, as_json)


@command.command()
@click.argument("file", metavar="FILE")
@click.argument("run", metavar="RUN")
@options("plugins", "trust", "results", "json")
def check(
    file: str, run: str, plugins: tuple[str, ...], trust: bool, results: str | None, as_json: bool
) -> None:
    """Say whether a table fits the space, classes and resolutions of RUN (or of a space)."""
    from ofa_bench.deploy.latency.target import check_table

    table = check_table(file, run, results, plugins=plugins, trust=trust)
    _show(table, file, as_json)


def _show(table: LatencyTable, file: str, as_json: bool) -> None:
    poor = table.poor()
    if as_json:
        names = ("device", "batch", "threads", "classes", "unit", "machine", "versions")
        values = table.model_dump(mode="json")
        kept = {name: values[name] for name in (*names, "calibration", "check")}
        answer = {"file": file, "space": table.space.name, "resolutions": table.resolutions}
        console.answer({**answer, **kept, "poor": poor})
        return
    machine, sizes = table.machine, ", ".join(map(str, table.resolutions))
    clock = "" if machine.clock_mhz is None else f" at {machine.clock_mhz:,.0f} MHz"
    pairs = [
        ("table", file),
        ("space", f"{table.space.name}, {table.classes} classes, at {sizes} pixels"),
        ("device", f"{table.device}, batch {table.batch}, threads {table.threads}"),
        ("machine", f"{machine.processor}{clock}, governor {machine.governor or 'not told'}"),
        ("versions", ", ".join(f"{name} {text}" for name, text in table.versions.items())),
        ("check", str(table.check)),
    ]
    console.facts(pairs)
    if poor is not None:
        console.tell(f"warning: {poor}")


@contextmanager
def _watching() -> Iterator[Callable[[float, str], None]]:
    """A bar on a terminal, a line now and then in a log."""
    state, printed = [(0.0, "")], [float("-inf")]

    def line(share: float, text: str) -> None:
        if time.monotonic() - printed[0] >= LINE_EVERY:
            printed[0] = time.monotonic()
            console.tell(f"{share:4.0%}  {text}")

    def bar(share: float, text: str) -> None:
        state[0] = share, text

    if not sys.stderr.isatty():
        yield line
        return
    with console.live(lambda: state[0]):
        yield bar
