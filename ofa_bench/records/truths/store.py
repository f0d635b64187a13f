"""Where records of ground truth lie: `truth/<run>/<question>.json`, each written whole."""

from __future__ import annotations

from pathlib import Path

from ofa_bench.atomic_io import write_whole
from ofa_bench.errors import UsageError
from ofa_bench.records.json_text import hash_without_itself, parsed_file, spell
from ofa_bench.records.searches.store import lies_in
from ofa_bench.records.store import read_bytes, slug
from ofa_bench.records.truths.schema import TruthRecord, truth_values
from ofa_bench.sanitize import plain_text

FOLDER = "truth"
DIGITS = 16  # of the question's hash, in a file's name
MOST = 10_000  # files that a reader opens


def is_truth(path: Path) -> bool:
    """Whether a file is a record of ground truth: by its folder, which no other record lies in."""
    return lies_in(FOLDER, path)


def truth_path(results: Path, record: TruthRecord) -> Path:
    """The file of a record."""
    return results / FOLDER / slug(record.run) / f"{record.question[:DIGITS]}.json"


def write_truth(results: Path, record: TruthRecord) -> Path:
    """Write a record, whole. Raises BenchError where the disk is full or read-only."""
    path = truth_path(results, record)
    write_whole(path, truth_text(record), root=results)
    return path


def truth_text(record: TruthRecord) -> str:
    """A record as its file spells it."""
    return spell(truth_values(record))


def parse_truth(raw: bytes, source: str) -> TruthRecord:
    """The record that these bytes spell; UsageError names the source and the field."""
    return parsed_file(TruthRecord, raw, source, "the record", "ground truth")


def read_truth(path: Path) -> TruthRecord:
    """The record in a file; UsageError where it is none, or its hash is not its own."""
    record = parse_truth(read_bytes(path, "record-bytes"), str(path))
    if hash_without_itself(truth_values(record)) != record.sha256:
        raise UsageError(
            f"{plain_text(path)}: was changed after it was written",
            "remove it, and run `ofa-bench truth` again",
        )
    return record


def truths(results: Path) -> tuple[list[tuple[Path, TruthRecord]], list[str]]:
    """All records of a results folder by path, and a sentence for each file that is none, which
    names it by where it lies in that folder."""
    records, broken = [], []
    for path in sorted((results / FOLDER).glob("*/*.json"))[:MOST]:
        try:
            records.append((path, read_truth(path)))
        except UsageError as error:
            name = plain_text(path.relative_to(results))
            broken.append(error.message.replace(plain_text(path), name))
    return records, broken
