"""Attempts at a run that failed: the record of the next one replaces theirs, which are kept."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

from ofa_bench.errors import BenchError, UsageError
from ofa_bench.records.store import read


def superseded(path: Path, run: str) -> None:
    """BenchError unless a file holds the record of an attempt at the same run that failed."""
    try:
        record = read(path)
    except UsageError as error:
        raise BenchError(
            f"{path} holds something else already: {error.message}",
            "move that file away, or name another folder with --results DIR",
        ) from error
    if record.status != "failed" or record.run.id != run:
        raise BenchError(f"{path} holds another record already", "records are never overwritten")


def keep_failed(path: Path) -> None:
    """Keep a failed attempt's record under the next free name; boards and lists leave it out."""
    for number in count(1):
        try:
            os.link(path, path.with_name(f"{path.stem}.failed-{number}"))
        except FileExistsError:
            continue
        return
