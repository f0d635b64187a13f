"""`ofa-bench data`: look at a data set before a long run depends on it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ofa_bench.cli import console
from ofa_bench.cli.commands.catalogue.data_get import get
from ofa_bench.cli.options import RUN_OPTIONS, Name, json_option
from ofa_bench.errors import UsageError
from ofa_bench.sanitize import command_line

SHOWN = 20  # broken files and groups of copies that are named one by one


@click.group()
def command() -> None:
    """Get a data set, check it, or prepare it."""


command.add_command(get)


@command.command()
@click.argument("dataset", type=Name("dataset"))
@RUN_OPTIONS["data_dir"]
@click.option("--deep", is_flag=True, help="Hash everything anew; believe nothing that was kept.")
@json_option
@click.pass_context
def check(
    ctx: click.Context, dataset: str, data_dir: str | None, deep: bool, as_json: bool
) -> None:
    """Decode every image of DATASET, count, and look for copies; exit 1 if any is broken."""
    from ofa_bench.cli.views.progress import watching
    from ofa_bench.data.check import check as examine
    from ofa_bench.hooks.catalogue import discover
    from ofa_bench.planning.assemble import spec_of
    from ofa_bench.training.interrupts import listening

    spec = spec_of(dataset, discover().catalogue)
    folder = Path(data_dir) if data_dir else None
    with watching() as watch, listening() as stop:  # hashes are kept, whoever asks to stop
        stop.hint = "the same line goes on with what was hashed"
        report = examine(spec, folder, progress=watch.files, deep=deep)
    if as_json:
        console.answer({**asdict(report), "ok": report.ok})
    else:
        _show(report)
    ctx.exit(0 if report.ok else 1)


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
@click.option(
    "--from", "source", metavar="DIR", help="ImageNet's archives; for imagenet100, its folder."
)
@click.option("--to", metavar="DIR", help="The folder to make.")
@click.option("--cache", is_flag=True, help="Decode all images once, into a folder of pixels.")
@click.option("--pack", is_flag=True, help="Copy all image files into tar shards.")
@click.option(
    "--shard-size", metavar="MB", type=click.IntRange(1), default=1000, help="Of a shard, at most."
)
@click.option("--short", type=click.IntRange(8), default=256, help="Their shorter side, at most.")
@RUN_OPTIONS["data_dir"]
@click.option("--yes", is_flag=True, help="Do not ask before writing much.")
@json_option
def prepare(
    dataset: str,
    source: str | None,
    to: str | None,
    cache: bool,
    pack: bool,
    shard_size: int,
    short: int,
    data_dir: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Unpack imagenet, link imagenet100 to it, or make a folder of DATASET's pixels or shards.

    imagenet is made of the three archives of image-net.org; a call that was stopped goes on after
    the last class. Links copy nothing. --cache spares every run the decoding, --pack the file
    system a million files: the size is told first.
    """
    if [cache, pack, source is not None].count(True) != 1:
        raise click.UsageError("Give one of --from DIR (with --to DIR), --cache or --pack.")
    if pack:
        _pack(dataset, data_dir, to, shard_size, yes, as_json)
        return
    if cache:
        _cache(dataset, data_dir, to, short, yes, as_json)
        return
    if source is None or to is None:
        raise click.UsageError("--from DIR needs --to DIR, the folder to make.")
    if dataset == "imagenet":
        _unpack(Path(source), Path(to), yes, as_json)
    elif dataset == "imagenet100":
        _link(Path(source), Path(to), as_json)
    else:
        raise UsageError(
            f"{dataset!r} is not made of other files", "only imagenet and imagenet100 are"
        )


def _link(source: Path, to: Path, as_json: bool) -> None:
    from ofa_bench.data.discovery.imagenet.subset import prepare_imagenet100

    done = prepare_imagenet100(source, to)
    line = f"{done.root}: {done.classes} classes, {done.links} new links"
    console.result(as_json, asdict(done), line)


def _unpack(source: Path, to: Path, yes: bool, as_json: bool) -> None:
    from ofa_bench.data.discovery.imagenet.unpacking import prepare_imagenet
    from ofa_bench.training.callbacks import paced
    from ofa_bench.training.interrupts import listening

    def show(part: str, done: int, of: int) -> None:
        console.tell(f"{part}: {done / 1e9:,.2f} of {of / 1e9:,.2f} GB")

    def agree(needed: int) -> bool:
        return _agreed(f"{needed / 1e9:,.2f} GB of images into {to}", yes)

    progress = paced(show, 1.0 if sys.stderr.isatty() else 10.0)
    with listening() as stop:  # so that what is half written goes away, whoever asks to stop
        stop.hint = "the same line goes on after the last class"
        done = prepare_imagenet(source, to, agree, progress)
    lines = [
        f"{done.root}: {done.classes:,} classes, {done.images['train']:,} training and "
        f"{done.images['val']:,} validation images",
        f"use it with {command_line('--dataset', 'imagenet', '--data-dir', done.root)}",
    ]
    console.result(as_json, asdict(done), *lines)


def _cache(
    dataset: str, data_dir: str | None, to: str | None, short: int, yes: bool, as_json: bool
) -> None:
    from ofa_bench.cli.views.progress import Log
    from ofa_bench.data.readers.pixel_cache import prepare_cache
    from ofa_bench.hooks.catalogue import discover
    from ofa_bench.planning.assemble import spec_of
    from ofa_bench.training.interrupts import listening

    def agree(planned: Any) -> bool:
        return _agreed(
            f"{planned.images:,} images, {planned.bytes / 1e9:,.2f} GB of pixels, into "
            f"{planned.root}; {planned.scaled:,} of them scaled down to {short}",
            yes,
        )

    spec, folder = spec_of(dataset, discover().catalogue), Path(data_dir) if data_dir else None
    home = Path(to) if to else None
    with listening():  # so that what is half written goes away, whoever asks to stop
        done = prepare_cache(spec, folder, home, short, agree, Log().files)
    lines = [f"use it with {command_line('--data-dir', done.root)}"]
    if done.scaled:
        lines.append(
            "its images are not the files' any more, so its runs stand on boards of their own"
        )
    console.result(as_json, asdict(done), *lines)


def _pack(
    dataset: str, data_dir: str | None, to: str | None, megabytes: int, yes: bool, as_json: bool
) -> None:
    from ofa_bench.cli.views.progress import Log
    from ofa_bench.data.readers.pack import prepare_shards
    from ofa_bench.hooks.catalogue import discover
    from ofa_bench.planning.assemble import spec_of
    from ofa_bench.training.interrupts import listening

    if to is None:
        raise click.UsageError("--pack needs --to DIR, the folder to make.")

    def agree(planned: Any) -> bool:
        return _agreed(
            f"{planned.images:,} images, {planned.bytes / 1e9:,.2f} GB, into {planned.shards:,} "
            f"shards in {planned.root}"
            + (f"; of them there already: {planned.resumed:,}" if planned.resumed else ""),
            yes,
        )

    spec, folder = spec_of(dataset, discover().catalogue), Path(data_dir) if data_dir else None
    with listening() as stop:  # so that what is half written goes away, whoever asks to stop
        stop.hint = "the same line goes on after the last shard"
        done = prepare_shards(spec, folder, Path(to), megabytes * 10**6, agree, Log().files)
    line = f"use it with {command_line('--data-dir', done.root)}"
    console.result(as_json, asdict(done), line)


def _agreed(size: str, yes: bool) -> bool:
    """Whether the user agrees to write that much. Raises UsageError where nobody can be asked."""
    if not yes and not sys.stdin.isatty():
        raise UsageError(f"nobody can be asked whether to write {size}", "--yes writes them")
    console.tell(size)
    return yes or console.confirm("Write them?")
