"""What a run's extras measured: numbers by name, kept beside the record and shown with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path

from ofa_bench.sanitize import plain_text

Readings = dict[str, float]
FOLDER = "readings"  # in a run's folder; an extra writes NAME.json there: {quantity: number}
SUFFIX = ".readings"
LARGEST = 1 << 16  # bytes: more is not a handful of numbers


def gathered(run: Path) -> str:
    """One JSON document of what the extras of a finished run left; empty where nothing."""
    by_name = {path.stem: _read(path) for path in sorted((run / FOLDER).glob("*.json"))}
    filled = {name: readings for name, readings in by_name.items() if readings}
    return json.dumps(filled, indent=1) + "\n" if filled else ""


def beside(record: Path) -> Path:
    """Where the readings of a record are kept."""
    return record.with_suffix(SUFFIX)


def read(record: Path) -> Readings:
    """`extra: quantity` -> number of a record's file; empty where there are none that hold."""
    try:
        text = beside(record).read_bytes()
        filled = json.loads(text) if len(text) <= LARGEST else {}
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(filled, dict):
        return {}
    return {
        plain_text(f"{extra}: {quantity}", 80): value
        for extra, readings in filled.items()
        for quantity, value in _numbers(readings).items()
    }


def table(rows: Mapping[str, Sequence[Path]]) -> list[tuple[str, str, list[float]]]:
    """(quantity, row's label, a number a seed) for rows given by the files of their records."""
    by_name: dict[tuple[str, str], list[float]] = {}
    for label, paths in rows.items():
        for path in paths:
            for quantity, value in read(path).items():
                by_name.setdefault((quantity, label), []).append(value)
    return [(quantity, label, values) for (quantity, label), values in sorted(by_name.items())]


def _read(path: Path) -> Readings:
    try:
        return _numbers(json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return {}


def _numbers(filled: object) -> Readings:
    if not isinstance(filled, dict):
        return {}
    return {
        str(name): float(value)
        for name, value in filled.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    }
