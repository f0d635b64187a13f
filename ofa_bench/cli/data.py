"""`ofa-bench data`: look at a data set before a long run depends on it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ofa_bench.cli import console
from ofa_bench.cli.options import RUN_OPTIONS, Name, json_option
from ofa_bench.errors import UsageError

SHOWN = 20  # broken files and groups of copies that are named one by one


@click.group()
def command() -> None:
    """Check a data set, or prepare one."""


@command.command()
@click.argument("dataset", type=Name("dataset"))
@RUN_OPTIONS["data_dir"]
@json_option
@click.pass_context
def check(ctx: click.Context, dataset: str, data_dir: str | None, as_json: bool) -> None:
    """Decode every image of DATASET, count, and look for copies; exit 1 if any is broken."""
    from ofa_bench.catalogue import discover
    from ofa_bench.data.check import check as examine
    from ofa_bench.engine.assemble import spec_of

    spec = spec_of(dataset, discover().catalogue)
    report = examine(spec, Path(data_dir) if data_dir else None, progress=_told())
    if as_json:
        console.answer(report.to_json())
    else:
        _show(report)
    ctx.exit(0 if report.ok else 1)


def _told() -> Callable[[int, int], None]:
    """A line on stderr every few seconds."""
    last = time.monotonic()

    def progress(done: int, of: int) -> None:
        nonlocal last
        if time.monotonic() - last >= (1.0 if sys.stderr.isatty() else 10.0):
            last = time.monotonic()
            console.tell(f"{done:,} of {of:,} files")

    return progress


def _show(report: Any) -> None:
    images, sides = report.images, report.sides
    pairs: list[tuple[str, object]] = [
        ("data set", f"{report.dataset} in {report.root}"),
        ("images", f"{images['train']:,} train, {images['test']:,} test"),
        ("classes", f"{len(report.classes):,}"),
    ]
    pairs += [(f"{end} image", f"{w} × {h}") for end, (w, h) in sides.items()]
    pairs.append(("broken", f"{len(report.broken):,}"))
    pairs += [(f"copies in {where}", len(sets)) for where, sets in report.copies.items() if sets]
    pairs += [("note", note) for note in report.notes]
    console.facts(pairs)
    for broken in report.broken[:SHOWN]:
        console.say(f"broken: {broken.file}: {broken.reason}")
    for sets in report.copies.values():
        for group in sets[:SHOWN]:
            console.say(f"copies: {', '.join(group)}")
    if len(report.broken) > SHOWN:
        console.say(f"and {len(report.broken) - SHOWN:,} more broken; --json names them all")


@command.command()
@click.argument("dataset", type=Name("dataset"))
@click.option("--from", "source", required=True, metavar="DIR", help="ImageNet's folder.")
@click.option("--to", required=True, metavar="DIR", help="The folder to make.")
@json_option
def prepare(dataset: str, source: str, to: str, as_json: bool) -> None:
    """Make imagenet100 of links into ImageNet; nothing is copied."""
    from ofa_bench.data.prepare import prepare_imagenet100

    if dataset != "imagenet100":
        raise UsageError(
            f"{dataset!r} needs no preparing", "only imagenet100 is made of another data set"
        )
    done = prepare_imagenet100(Path(source), Path(to))
    if as_json:
        console.answer(done.to_json())
    else:
        console.say(f"{done.root}: {done.classes} classes, {done.links} new links")
