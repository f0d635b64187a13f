"""How ground truth is shown: a table of rankings, and what must be read with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ofa_bench.cli import console
from ofa_bench.leaderboard.truth.columns import HEADS, caveats, lines, to_markdown, tracks
from ofa_bench.leaderboard.truth.validate import held_truths
from ofa_bench.records.store import Store
from ofa_bench.records.truths.schema import TruthRecord, truth_values
from ofa_bench.records.truths.store import truth_path
from ofa_bench.records.validation.validate import Context

HIDDEN = ("nets", "searched", "table")  # of a JSON answer: the record's file has them


def show(records: Sequence[TruthRecord], as_json: bool, results: Path) -> None:
    """The answer of `truth`: as JSON all but the nets, else a table for each track."""
    if as_json:
        console.answer(document(records, results))
        return
    for title, group in tracks(records).items():
        table(title, group)
    for record in records:
        console.say(f"record: {truth_path(results, record)}")


def table(title: str, records: Sequence[TruthRecord]) -> None:
    """Rankings of one track, the best within ranges first, and what must be read with them."""
    console.table(HEADS, list(lines(records)), title)
    for line in caveats(records):
        console.say(line)


def show_kept(store: Store, context: Context, which: str | None, form: str) -> None:
    """What `board --truth` shows: all that is kept and holds."""
    records, broken = held_truths(store, context, which)
    if form == "json":
        console.answer({**document(records, store.results), "unranked": broken})
        return
    groups = tracks(records)
    if form == "md":
        console.raw("\n".join(to_markdown(title, group) for title, group in groups.items()))
    else:
        for title, group in groups.items():
            table(title, group)
            console.say()
    say = console.tell if form == "md" else console.say
    if not groups and not broken:
        what = f"of {which!r} " if which else ""
        say(f"no ground truth {what}is kept in {store.results}; `ofa-bench truth` makes it")
    for line in broken:
        say(f"not shown: {line}")


def document(records: Iterable[TruthRecord], results: Path) -> dict[str, Any]:
    """Rankings of all records as JSON, the best within ranges first; and the records in brief."""
    brief = list(_brief(records, results))
    rows = [
        {"run": record["run"], "method": record["method"], **ranking}
        for record in brief
        for ranking in record["rankings"]
    ]
    rows.sort(key=lambda row: -row["within"]["value"])
    return {"rows": rows, "truths": brief}


def _brief(records: Iterable[TruthRecord], results: Path) -> Iterator[dict[str, Any]]:
    for record in records:
        values = truth_values(record)
        failed = [
            {"net": net["name"], **run}
            for net in values["nets"]
            for run in net["alone"]
            if run["status"] != "ok"
        ]
        kept = {name: value for name, value in values.items() if name not in HIDDEN}
        path = str(truth_path(results, record))
        yield {**kept, "nets": len(record.nets), "failed": failed, "record": path}
