"""Where searches lie: `searches/<run>/<question>.json`, each written whole."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from ofa_bench.atomic_io import write_whole
from ofa_bench.errors import UsageError
from ofa_bench.records.json_text import first_fault, parsed, spell
from ofa_bench.records.searches.schema import SearchRecord, search_hash, search_values
from ofa_bench.records.store import read_bytes, slug
from ofa_bench.sanitize import plain_text

FOLDER = "searches"
DIGITS = 16  # of the question's hash, in a file's name
MOST = 10_000  # files that a reader opens


def search_folder(results: Path, run: str) -> Path:
    return results / FOLDER / slug(run)


def search_path(results: Path, run: str, question: str) -> Path:
    """The file of the answer to a question."""
    return search_folder(results, run) / f"{question[:DIGITS]}.json"


def write_search(results: Path, record: SearchRecord) -> Path:
    """Write a search's record, whole. Raises BenchError where the disk is full or read-only."""
    path = search_path(results, record.run, record.question)
    write_whole(path, search_text(record), root=results)
    return path


def search_text(record: SearchRecord) -> str:
    """A search's record as its file spells it."""
    return spell(search_values(record))


def parse_search(raw: bytes, source: str) -> SearchRecord:
    """The search that these bytes spell; UsageError names the source and the field."""
    try:
        return parsed(SearchRecord, raw)
    except ValidationError as error:
        reason = first_fault(error, "the search")
    except (ValueError, RecursionError) as error:
        reason = f"is no JSON of a search: {plain_text(str(error))}"
    raise UsageError(f"{plain_text(source)}: {reason}", "the file was changed or cut off")


def read_search(path: Path) -> SearchRecord:
    """The search in a file; UsageError where it is none, or its hash is not its own."""
    record = parse_search(read_bytes(path, "search-bytes"), str(path))
    if search_hash(record) != record.sha256:
        raise UsageError(
            f"{plain_text(path)}: was changed after it was written",
            "remove it, and search again",
        )
    return record


def newest_search(
    results: Path, run: str, kind: str, value: float, weights: str
) -> SearchRecord | None:
    """The latest search of a run, with these weights and for this budget; broken files are passed
    by."""
    matches = []
    for path in sorted(search_folder(results, run).glob("*.json"))[:MOST]:
        try:
            record = read_search(path)
        except UsageError:
            continue
        budget = record.budget
        if (record.run, record.weights) != (run, weights):
            continue
        if (budget.kind, budget.value) == (kind, value):
            matches.append(record)
    return max(matches, key=lambda record: record.finished, default=None)
