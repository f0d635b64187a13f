"""`ofa-bench validate`: recompute what can be recomputed of records."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ofa_bench.cli import console
from ofa_bench.cli.options import json_option
from ofa_bench.errors import UsageError

if TYPE_CHECKING:
    from ofa_bench.records.spaces import Loader
    from ofa_bench.records.validation.findings import Finding
    from ofa_bench.records.validation.validate import Context

OTHERS = ("boards", "runs", "scores", ".incoming")


@click.command()
@click.argument("records", nargs=-1, required=True, metavar="RECORD…")
@json_option
@click.pass_context
def command(ctx: click.Context, /, records: tuple[str, ...], as_json: bool) -> None:
    """Check record files, or all of a folder; exit 1 if anything does not agree.

    Hashes, MACs and parameters, sums over phases, areas, candidates and their membership, bits,
    ids, the ledger and plausibility of the throughput: each finding names its field. Searches are
    checked too: costs, intervals, and that the best is the best; and ground truth: that its numbers
    follow from its nets, and those from the nets' records, which lie in the same results folder.
    What is no record there (boards, run folders) is skipped.
    """
    from ofa_bench import api

    files, skipped = _files(records)
    kinds, by_file = _findings(files, api.record_checks())
    broken = sum(any(not finding.unknown for finding in findings) for findings in by_file.values())
    for line in skipped:
        console.tell(line)
    if as_json:
        listed = [
            {
                "file": name,
                "findings": [_shown(finding) for finding in findings if not finding.unknown],
                "unknown": [_shown(finding) for finding in findings if finding.unknown],
            }
            for name, findings in by_file.items()
        ]
        console.answer({"ok": not broken, "records": listed, "skipped": skipped})
    else:
        for name, findings in by_file.items():
            for finding in findings:
                console.say(f"{name}: {finding}")
        what = " and ".join(kinds)
        console.say(f"{len(by_file) - broken} of {len(by_file)} {what} hold")
    ctx.exit(1 if broken else 0)


def _findings(files: list[Path], context: Context) -> tuple[list[str], dict[str, list[Finding]]]:
    """The kinds of files there are, and each file's findings."""
    from ofa_bench.records.searches.validate import is_search, validate_search
    from ofa_bench.records.truths.store import is_truth
    from ofa_bench.records.validation.validate import validate

    apart = {
        # What `reproduce` keeps lies in a folder of its own, which records never lie in.
        "reproductions": {
            str(path): _rerun_findings(path)
            for path in files
            if path.absolute().parts[-4:-3] == ("reproductions",)
        },
        "searches": {str(p): validate_search(p, context.load) for p in files if is_search(p)},
        "truths": _truth_findings([path for path in files if is_truth(path)], context.load),
    }
    known = {file for findings in apart.values() for file in findings}
    by_file = {str(path): validate(path, context) for path in files if str(path) not in known}
    for findings in apart.values():
        by_file |= findings
    return ["records", *(kind for kind, findings in apart.items() if findings)], by_file


def _rerun_findings(path: Path) -> list[Finding]:
    from ofa_bench.leaderboard.reproduced import validate_file
    from ofa_bench.records.store import Store

    entries = Store(path.absolute().parents[3]).list(broken=lambda error: None)
    return validate_file(path, [entry.record for entry in entries])


def _truth_findings(paths: list[Path], load: Loader) -> dict[str, list[Finding]]:
    from ofa_bench.leaderboard.truth.recorded_runs import KnownRecords
    from ofa_bench.leaderboard.truth.validate import validate_truth
    from ofa_bench.records.store import Store

    known = {}
    for results in {path.absolute().parents[2] for path in paths}:
        entries = Store(results).list(broken=lambda error: None)
        known[results] = KnownRecords.of([entry.record for entry in entries])
    return {str(p): validate_truth(p, load, known[p.absolute().parents[2]]) for p in paths}


def _shown(finding: Finding) -> dict[str, str]:
    return {"field": finding.field, "message": finding.message}


def _files(names: tuple[str, ...]) -> tuple[list[Path], list[str]]:
    """The record files named, and those below the folders named; what else lies there, counted."""
    files: list[Path] = []
    skipped: Counter[str] = Counter()
    for name in names:
        path = Path(name)
        if not path.is_dir():
            files.append(path)
            continue
        for file in sorted(path.rglob("*.json")):
            kind = _kind(file, path)
            if kind is None:
                files.append(file)
            else:
                skipped[kind] += 1
    lines = [f"skipped {n} file{'s' * (n > 1)}: {kind}" for kind, n in sorted(skipped.items())]
    if not files:
        raise UsageError(
            "there is no record there" + "".join(f"; {line}" for line in lines),
            "`ofa-bench runs` lists what there is",
        )
    return files, lines


def _kind(file: Path, folder: Path) -> str | None:
    """What a JSON file below a folder is where it is no record: by the folders of `results/`."""
    for part in file.relative_to(folder).parts[:-1]:
        if part in OTHERS:
            return f"{part}/, no records"
        if part in ("records", "reproductions"):
            return None
    return "scores/, no records" if file.parent.name == "scores" else None
