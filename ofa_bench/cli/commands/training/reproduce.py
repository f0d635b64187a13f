"""`ofa-bench reproduce`: make a recorded run again and say whether it came out the same."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ofa_bench.cli import console
from ofa_bench.cli.options import options, store_of
from ofa_bench.errors import UsageError
from ofa_bench.sanitize import command_line

if TYPE_CHECKING:
    from ofa_bench.hooks.catalogue import Catalogue
    from ofa_bench.leaderboard.reproduction import Reproduction
    from ofa_bench.planning.assemble import Assembly
    from ofa_bench.recipe import Request
    from ofa_bench.records.store import StoredRecord
    from ofa_bench.runs.reproduce import Rerun

SCRATCH = "reproduced"  # below the runs' folder, so that it is never taken for a run


@click.command()
@click.argument("record")
@options("data_dir", "init", "teacher", "space", "plugins", "results", "json")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    record: str,
    plugins: tuple[str, ...],
    results: str | None,
    as_json: bool,
    **execution: Any,
) -> None:
    """Make a recorded run again; exit 1 where it comes out otherwise.

    RECORD is a file, or a run's name. The run is made from the record's science and seed, with what
    is installed here and never with code or a path of the record, and is thrown away after the
    verdict: identical, within interval, or not reproduced; that is kept below reproductions/ of
    the results folder, and boards mark the row. The table of a space of one's own is in the record;
    --space FILE names it for a record without.
    """
    from ofa_bench import api
    from ofa_bench.cli.views import board as board_view
    from ofa_bench.cli.views.record import headline
    from ofa_bench.leaderboard.reproduced import keep
    from ofa_bench.planning.assemble import assemble
    from ofa_bench.runs.recorded_request import request_for, with_table

    store = store_of(results)
    entry, root = store.find(record), store.results
    recorded = entry.record
    catalogue = with_table(recorded, api.catalogue_for(api.request(plugins=plugins)))
    scratch = root / "runs" / SCRATCH / recorded.run_id[:16]
    asked = request_for(recorded, catalogue, results=scratch, plugins=plugins, **execution)
    assembly = assemble(asked, catalogue)
    console.tell(headline(assembly))
    again, outcome = _again(entry, asked, assembly, catalogue)
    kept = keep(root, recorded, again.entry.record, outcome)
    again.give_up()
    board_view.refresh(root)
    _show(entry, outcome, kept, as_json)
    ctx.exit(1 if outcome.verdict == "not reproduced" else 0)


def _again(
    entry: StoredRecord, asked: Request, assembly: Assembly, catalogue: Catalogue
) -> tuple[Rerun, Reproduction]:
    from ofa_bench.cli.views.progress import watched_on
    from ofa_bench.leaderboard.reproduction import reproduction
    from ofa_bench.records.store import read_bits

    with watched_on(asked.device) as watch:
        watch.follow(assembly)
        from ofa_bench.runs.reproduce import rerun

        line = command_line("ofa-bench", "reproduce", entry.path)
        again = rerun(entry.record, asked, catalogue, watch, line)
    raw = read_bits(again.entry.path, again.entry.record)
    return again, reproduction(entry.record, again.entry.record, raw, _siblings(entry))


def _siblings(entry: StoredRecord) -> list[Any]:
    """The records beside the record's file, wherever it lies."""
    from ofa_bench.records.store import read

    outcome = []
    for path in sorted(Path(entry.path).absolute().parent.glob("*.json")):
        try:
            outcome.append(read(path))
        except UsageError:
            continue
    return outcome


def _show(entry: StoredRecord, outcome: Reproduction, kept: Path, as_json: bool) -> None:
    if as_json:
        surroundings = [difference._asdict() for difference in outcome.surroundings]
        band = outcome.band and outcome.band.model_dump()
        values = {**asdict(outcome), "band": band, "surroundings": surroundings}
        files = {"record": str(entry.path), "reproduction": str(kept)}
        console.answer({"run": entry.record.run.id, **files, **values})
        return
    rows = [
        (field.name, field.recorded, field.rerun, "identical" if field.same else "differs")
        for field in outcome.fields
    ]
    console.table(["result", "recorded", "now", ""], rows)
    if outcome.surroundings:
        console.say()
        console.table(["other surroundings", "recorded", "now"], outcome.surroundings)
    console.say()
    console.say(f"{outcome.verdict}: {outcome.why}")
    console.say(f"kept as {kept}")
