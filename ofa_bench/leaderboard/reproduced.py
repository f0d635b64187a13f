"""What `reproduce` found, kept beside the records: `reproductions/<data set>/<method>/*.json`.

Such a file is evidence as far as its sender is believed: its hash says that it is whole, and it is
counted only where its figures give its verdict. Nothing in it is signed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ofa_bench.atomic_io import write_whole
from ofa_bench.errors import UsageError
from ofa_bench.leaderboard.reproduction import Interval, Reproduction, Verdict
from ofa_bench.records.json_text import hash_without_itself, parsed, spell
from ofa_bench.records.parts import Hash, Machine, Part, Percent
from ofa_bench.records.schema import Record
from ofa_bench.records.store import read_bytes, slug
from ofa_bench.records.validation.findings import Finding
from ofa_bench.sanitize import plain_text

FOLDER = "reproductions"
REPRODUCED = ("identical", "within interval")
MOST = 10_000  # files that a reader opens


class RerunRecord(Part):
    """The run made again: its results, and where it ran."""

    status: Literal["ok", "failed", "diverged", "imported"]
    weights_sha256: Hash | None
    mean_pareto_accuracy: Percent | None
    machine: Machine


class ReproductionFile(Part):
    """One rerun of one record. `record` is the record's own hash."""

    version: Literal[1] = Field(default=1, alias="schema")
    record: Hash
    run: str = Field(max_length=100)
    row_id: Hash
    run_id: Hash
    verdict: Verdict
    reason: str = Field(max_length=1000)
    interval: Interval | None
    rerun: RerunRecord
    finished: str = Field(max_length=40)
    sha256: Hash

    @property
    def machine(self) -> str:
        """Where it was reproduced."""
        return self.rerun.machine.model


def keep(results: Path, record: Record, again: Record, outcome: Reproduction) -> Path:
    """Write what a rerun gave; returns the file."""
    summary = again.summary
    values: dict[str, Any] = {
        "schema": 1,
        "record": record.sha256,
        "run": record.run.id,
        "row_id": record.row_id,
        "run_id": record.run_id,
        "verdict": outcome.verdict,
        "reason": plain_text(outcome.why, 1000),
        "interval": vars(outcome.band) if outcome.band else None,
        "rerun": {
            "status": again.status,
            "weights_sha256": again.weights_sha256,
            "mean_pareto_accuracy": summary.mean_pareto_accuracy if summary else None,
            "machine": again.machine.model_dump(mode="json"),
        },
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    text = spell({**values, "sha256": hash_without_itself(values)})
    name = f"{slug(record.run.id)}.{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"
    folder = results / FOLDER / slug(record.task.dataset) / slug(record.method.name)
    write_whole(folder / name, text)
    return folder / name


def read(path: Path) -> ReproductionFile:
    """The reproduction in a file; UsageError where it is none, or was changed."""
    raw = read_bytes(path, "record-bytes")
    try:
        file = parsed(ReproductionFile, raw)
    except (ValueError, RecursionError) as error:
        reason = plain_text(str(error).replace("\n", " "), 200)
        raise UsageError(f"{path}: is no reproduction: {reason}", "it was changed") from error
    body = file.model_dump(mode="json", by_alias=True)
    if hash_without_itself(body) != file.sha256 or raw != spell(body).encode():
        raise UsageError(f"{path}: was changed after it was written", "ask its sender for it")
    return file


def reproductions(results: Path) -> dict[str, list[ReproductionFile]]:
    """The readable files below a results folder, by the hash of their record."""
    files: dict[str, list[ReproductionFile]] = {}
    for path in sorted((results / FOLDER).glob("*/*/*.json"))[:MOST]:
        try:
            file = read(path)
        except UsageError:
            continue
        files.setdefault(file.record, []).append(file)
    return files


def supporting(record: Record, files: Iterable[ReproductionFile]) -> tuple[ReproductionFile, ...]:
    """Those that reproduced the record, and whose figures say so."""
    return tuple(
        file
        for file in files
        if file.verdict in REPRODUCED and not any(disagreements(file, record))
    )


def disagreements(file: ReproductionFile, record: Record) -> Iterator[Finding]:
    """Where a reproduction does not go with its record, or its figures not with its verdict."""
    if file.record != record.sha256:
        yield Finding("record", "is not the hash of the record of that run")
    for name in ("row_id", "run_id"):
        if getattr(file, name) != getattr(record, name):
            yield Finding(name, "is not the record's")
    rerun, summary = file.rerun, record.summary
    accuracy = summary.mean_pareto_accuracy if summary else None
    if file.verdict == "identical" and (
        (rerun.status, rerun.weights_sha256, rerun.mean_pareto_accuracy)
        != (record.status, record.weights_sha256, accuracy)
    ):
        yield Finding("verdict", "is identical, the results are not")
    if file.verdict == "within interval":
        interval = file.interval
        if interval is None or accuracy is None or not interval.low <= accuracy <= interval.high:
            yield Finding("verdict", "is within interval, the record's accuracy is not")


def validate_file(path: Path, records: Iterable[Record]) -> list[Finding]:
    """What is wrong with a reproduction's file beside these records; empty if nothing."""
    try:
        file = read(path)
    except UsageError as error:
        return [Finding("file", error.message)]
    record = next((record for record in records if record.sha256 == file.record), None)
    if record is None:
        return [Finding("record", f"of {file.run} is not here", unknown=True)]
    return list(disagreements(file, record))
