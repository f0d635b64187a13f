"""`ofa-bench site`: boards as a folder of static pages."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ofa_bench.cli import console
from ofa_bench.cli.options import json_option
from ofa_bench.errors import UsageError

if TYPE_CHECKING:
    from ofa_bench.report.site import ResultsFolder, SiteSummary

NAMED = 5  # records left out that are told on the terminal


@click.command()
@click.option("-o", "--output", required=True, metavar="DIR", help="Where to write the pages.")
@click.option(
    "--results",
    multiple=True,
    metavar="DIR",
    help="Results root, repeatable; else $OFA_BENCH_RESULTS, ./results.",
)
@click.option("--title", default="Once-for-all boards", show_default=True, help="The site's name.")
@click.option("--repository", default="", metavar="URL", help="Where pull requests go.")
@click.option("--yes", is_flag=True, help="Write among other files without asking.")
@json_option
def command(
    output: str,
    results: tuple[str, ...],
    title: str,
    repository: str,
    yes: bool,
    as_json: bool,
) -> None:
    """Write boards, records and methods' cards as static pages, for any web host or none.

    The pages need no server and no network. A site that is there is brought up to date; files that
    are no part of it stay.
    """
    from ofa_bench import api
    from ofa_bench.cli.commands.results.report import card_of
    from ofa_bench.report.site import SiteOptions, write_site

    if not re.fullmatch(r"(https?://[^\s<>\"']+)?", repository):
        raise UsageError(f"{repository!r} is no web address", "write https://…")
    collections, folder = _collections(results), Path(output)
    _agree(folder, yes)
    context, name = api.record_checks(candidates=False), title.strip() or "Boards"
    options = SiteOptions(name, repository, context, card_of, console.tell)
    _show(folder, write_site(folder, collections, options), as_json)


def _collections(results: tuple[str, ...]) -> list[ResultsFolder]:
    """The results folders; UsageError where one is not there."""
    from ofa_bench import api
    from ofa_bench.report.site import ResultsFolder

    roots = [api.results_root(name) for name in results or (None,)]
    for root in roots:
        if not root.is_dir():
            raise UsageError(f"there is no folder {root}", "name a results folder with --results")
    return [ResultsFolder(_label(root), root) for root in roots]


def _show(folder: Path, made: SiteSummary, as_json: bool) -> None:
    """What was written, and what was left out."""
    for label, file, reason in made.left_out[:NAMED]:
        console.complain(f"left out: {label}: {file}: {reason}")
    if len(made.left_out) > NAMED:
        console.tell(f"left out besides: {len(made.left_out) - NAMED}; the first page names all")
    left_out = [
        {"results": label, "file": file, "reason": reason} for label, file, reason in made.left_out
    ]
    document = {
        "folder": str(folder),
        "pages": made.pages,
        "bytes": made.bytes,
        "tracks": made.tracks,
        "records": made.records,
        "left_out": left_out,
    }
    size = f"{made.pages:,} pages, {made.bytes / 1e6:.1f} MB"
    console.result(as_json, document, str(folder / "index.html"), size)


def _agree(folder: Path, yes: bool) -> None:
    """UsageError unless the site may be written into the folder as it is."""
    from ofa_bench.report.site import holds_other_files

    other = holds_other_files(folder)
    if other is None or yes:
        return
    question = f"{folder} holds other files ({other}) and no site. Write the site among them?"
    if sys.stdin.isatty() and console.confirm(question):
        return
    raise UsageError(
        f"{folder} holds other files ({other}) and no site",
        "choose another folder with -o DIR, or add --yes to write the site among them",
    )


def _label(root: Path) -> str:
    """A results folder as the site names it, never by where it lies on this machine."""
    return root.name if root.is_absolute() or ".." in root.parts else root.as_posix()
