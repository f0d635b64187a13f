"""`ofa-bench validate`: recompute what can be recomputed of records."""

from __future__ import annotations

from pathlib import Path

import click

from ofa_bench.cli import console
from ofa_bench.cli.options import json_option
from ofa_bench.errors import UsageError


@click.command()
@click.argument("records", nargs=-1, required=True, metavar="RECORD…")
@json_option
@click.pass_context
def command(ctx: click.Context, /, records: tuple[str, ...], as_json: bool) -> None:
    """Check record files, or all of a folder; exit 1 if anything does not agree.

    Hashes, MACs and parameters, sums over phases, areas, candidates and their membership, bits,
    plausibility of the throughput: each finding names its field.
    """
    from ofa_bench import api
    from ofa_bench.records.validate import validate

    context = api.record_checks()
    found = {str(path): validate(path, context) for path in _files(records)}
    broken = sum(bool(findings) for findings in found.values())
    if as_json:
        listed = [
            {"file": name, "findings": [vars(each) for each in findings]}
            for name, findings in found.items()
        ]
        console.answer({"ok": not broken, "records": listed})
    else:
        for name, findings in found.items():
            for each in findings:
                console.say(f"{name}: {each}")
        console.say(f"{len(found) - broken} of {len(found)} records hold")
    ctx.exit(1 if broken else 0)


def _files(names: tuple[str, ...]) -> list[Path]:
    """The record files named, and those below the folders named."""
    files: list[Path] = []
    for name in names:
        path = Path(name)
        files += sorted(path.rglob("*.json")) if path.is_dir() else [path]
    if not files:
        raise UsageError("there is no record there", "`ofa-bench runs` lists what there is")
    return files
