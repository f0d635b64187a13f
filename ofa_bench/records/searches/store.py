"""Where searches lie: `searches/<run>/<question>.json`, each written whole."""

from __future__ import annotations

from pathlib import Path

from ofa_bench.atomic_io import write_whole
from ofa_bench.errors import UsageError
from ofa_bench.records.json_text import hash_without_itself, parsed_file, spell
from ofa_bench.records.searches.schema import SearchRecord, search_values
from ofa_bench.records.store import read_bytes, slug
from ofa_bench.sanitize import plain_text

FOLDER = "searches"
DIGITS = 16  # of the question's hash, in a file's name
MOST = 10_000  # files that a reader opens


def lies_in(folder: str, path: Path) -> bool:
    """Whether a file lies in `folder/<run>/`; a data set of that name has its records elsewhere."""
    parts = path.absolute().parts
    return len(parts) > 3 and parts[-3] == folder and parts[-4] != "records"


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
    return parsed_file(SearchRecord, raw, source, "the search", "a search")


def read_search(path: Path) -> SearchRecord:
    """The search in a file; UsageError where it is none, or its hash is not its own."""
    record = parse_search(read_bytes(path, "search-bytes"), str(path))
    if hash_without_itself(search_values(record)) != record.sha256:
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
