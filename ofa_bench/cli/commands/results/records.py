"""`ofa-bench records`: hand records to someone else as one file."""

from __future__ import annotations

from pathlib import Path

import click

from ofa_bench.cli import console
from ofa_bench.cli.options import options, store_of


@click.group()
def command() -> None:
    """Hand records to someone else as one file, or take such a file in."""


@command.command("export")
@click.argument("file")
@click.option("--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Which records.")
@options("results", "json")
def export_records(file: str, filters: tuple[str, ...], results: str | None, as_json: bool) -> None:
    """Write records and their bits to FILE; --filter dataset=digits says which."""
    from ofa_bench.records.bundle import export

    store = store_of(results)
    entries = store.list(filters, broken=lambda error: console.complain(error.message, error.hint))
    count = export(entries, Path(file))
    console.result(as_json, {"file": file, "records": count}, f"{count} records in {file}")


@command.command("import")
@click.argument("file")
@options("results", "json")
def import_records(file: str, results: str | None, as_json: bool) -> None:
    """Take in the records of FILE, all or none; each must hold under `validate`."""
    from ofa_bench import api
    from ofa_bench.records.bundle import take_in

    paths = take_in(Path(file), store_of(results), api.record_checks())
    document = {"records": [str(path) for path in paths]}
    console.result(as_json, document, f"{len(paths)} records taken in")
