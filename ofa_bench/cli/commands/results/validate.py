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
    follow from its nets. In a results folder, what is no record (boards, run folders) is skipped.
    """
    from ofa_bench import api
    from ofa_bench.records.searches.validate import is_search, validate_search
    from ofa_bench.records.truths.store import is_truth
    from ofa_bench.records.validation.validate import validate

    files, skipped = _files(records)
    context = api.record_checks()
    reruns = {str(path): _rerun_findings(path) for path in files if _is_rerun(path)}
    searches = {str(p): validate_search(p, context.load) for p in files if is_search(p)}
    truths = {str(path): _truth_findings(path, context.load) for path in files if is_truth(path)}
    apart = reruns | searches | truths
    others = [path for path in files if str(path) not in apart]
    by_file = {str(path): validate(path, context) for path in others} | apart
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
        kinds = ("records", *(["reproductions"] if reruns else []))
        kinds += (*(["searches"] if searches else []), *(["truths"] if truths else []))
        what = " and ".join(kinds)
        console.say(f"{len(by_file) - broken} of {len(by_file)} {what} hold")
    ctx.exit(1 if broken else 0)


def _is_rerun(path: Path) -> bool:
    """Whether a file is what `reproduce` keeps: by its folder, which records never lie in."""
    parts = path.absolute().parts
    return len(parts) > 3 and parts[-4] == "reproductions"


def _rerun_findings(path: Path) -> list[Finding]:
    from ofa_bench.leaderboard.reproduced import validate_file
    from ofa_bench.records.store import Store

    entries = Store(path.absolute().parents[3]).list(broken=lambda error: None)
    return validate_file(path, [entry.record for entry in entries])


def _truth_findings(path: Path, load: Loader) -> list[Finding]:
    from ofa_bench.leaderboard.truth.validate import validate_truth
    from ofa_bench.records.store import Store

    entries = Store(path.absolute().parents[2]).list(broken=lambda error: None)
    return validate_truth(path, load, [entry.record for entry in entries])


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
    lines = [f"skipped {count} files: {kind}" for kind, count in sorted(skipped.items())]
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
    if file.parent.name == "scores":
        return "scores/, no records"
    return None
