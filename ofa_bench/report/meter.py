"""What a run's meter wrote beside it: untrusted lines, read with care."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ofa_bench.errors import UsageError
from ofa_bench.records.schema import Record
from ofa_bench.records.store import read_bytes
from ofa_bench.report.training import Metered

FILE = "meter.jsonl"


def metered(results: Path, record: Record) -> Metered | None:
    """The interference a run measured; None where it kept none, or none that can be read."""
    path = results / "runs" / record.run.id / FILE
    if not path.is_file():
        return None
    try:
        lines = read_bytes(path, "meter-bytes").splitlines()
    except UsageError:
        return None
    by_step = dict(line for line in map(_read, lines) if line is not None)
    if not by_step:
        return None
    steps = sorted(by_step)  # a step done again after a kill counts once
    ratios, cosines = zip(*(by_step[step] for step in steps), strict=True)
    return Metered(tuple(steps), ratios, cosines)


def _read(line: bytes) -> tuple[int, tuple[float | None, float | None]] | None:
    try:
        values = json.loads(line)
        ratio, cosine = values["all"]
        return int(values["step"]), (_finite(ratio), _finite(cosine))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _finite(value: Any) -> float | None:
    if value is None:
        return None
    number = float(value)
    return number if math.isfinite(number) else None
