"""Resource limits for untrusted files. Torch-free.

`LIMITS` lists every limit; `--limit name=value` and `OFA_BENCH_LIMITS=name=value,…` override it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from ofa_bench.errors import UsageError, suggest

VARIABLE = "OFA_BENCH_LIMITS"
LARGEST = 2**62


@dataclass(frozen=True)
class Limit:
    """One bound: its value, its unit, and what it bounds."""

    value: int
    unit: str
    bounds: str


LIMITS: dict[str, Limit] = {
    "archive-bytes": Limit(1 << 40, "bytes", "what one archive unpacks to"),
    "archive-depth": Limit(32, "folders", "how deep a file lies in an archive"),
    "archive-header": Limit(1 << 20, "bytes", "extended headers before one member of an archive"),
    "archive-members": Limit(20_000_000, "members", "files and folders of one archive"),
    "archive-memory": Limit(256 << 20, "bytes", "memory that an xz archive asks for"),
    "archive-ratio": Limit(100, "times", "an archive unpacked over packed, beyond 64 MiB"),
    "bits-bytes": Limit(64 * 2**20, "bytes", "the per-image bits beside one record"),
    "board-bytes": Limit(16 * 2**20, "bytes", "one kept board"),
    "bundle-bytes": Limit(256 * 2**20, "bytes", "a bundle of records, packed and unpacked"),
    "bundle-files": Limit(20_000, "files", "files in a bundle of records"),
    "candidates": Limit(8_192, "nets", "evaluate.buckets times evaluate.per_bucket of a record"),
    "checkpoint-bytes": Limit(2**35, "bytes", "a run folder's checkpoint"),
    "event-log-bytes": Limit(2**28, "bytes", "a run folder's events.jsonl, as resume reads it"),
    "image-bytes": Limit(2**29, "bytes", "one image file"),
    "image-header": Limit(4 * 2**20, "bytes", "what an image file holds beside its pixels"),
    "image-pixels": Limit(178_956_970, "pixels", "width times height of one image"),
    "image-scans": Limit(2**31, "pixels", "width times height times scans of a JPEG"),
    "image-values": Limit(8 * 2**20, "bytes", "an image of text or run lengths (PPM, BMP)"),
    "label-list-bytes": Limit(64 * 2**20, "bytes", "a list of the labels of images"),
    "latency-bytes": Limit(4 * 2**20, "bytes", "one latency table"),
    "meter-bytes": Limit(256 * 2**20, "bytes", "what one extra logged of a run"),
    "model-file-bytes": Limit(64 * 2**20, "bytes", "the model.json of an exported folder"),
    "network-parameters": Limit(2 * 10**9, "parameters", "the largest network of a space"),
    "parquet-footer": Limit(64 * 2**20, "bytes", "what describes a parquet file, at its end"),
    "parquet-group": Limit(2**30, "bytes", "row groups of images that a process has in memory"),
    "parquet-names": Limit(1_000_000, "names", "class names that a parquet file holds"),
    "parquet-rows": Limit(20, "rows", "rows of a parquet file for each KiB of it, beyond 4,096"),
    "record-bytes": Limit(4 * 2**20, "bytes", "one record, or one file of ground truth"),
    "run-file-bytes": Limit(4 * 2**20, "bytes", "a run folder's run.json"),
    "search-bytes": Limit(64 * 2**20, "bytes", "one search's record, or the scores of one run"),
    "site-marker-bytes": Limit(16 * 2**20, "bytes", "the list of pages that a site keeps"),
    "space-sums": Limit(200_000, "costs", "what the stages of a space can cost, counted apart"),
    "toml-bytes": Limit(2**17, "bytes", "one recipe, space or comparison file"),
    "weights-bytes": Limit(2**33, "bytes", "one weights file"),
    "weights-bytes-per-parameter": Limit(
        32, "bytes", "a weights file, for each parameter of the network"
    ),
    "weights-header-bytes": Limit(2**23, "bytes", "the header of a safetensors file"),
}


def limit(name: str) -> int:
    """The limit in force: from the environment, else from `LIMITS`."""
    return overrides().get(name, LIMITS[name].value)


def advice(name: str, needed: int | None = None) -> str:
    """The hint of an error about a bound that was exceeded."""
    value = max(needed or 0, 2 * limit(name))
    return f"if you trust the file, raise the bound: --limit {name}={value}"


def overrides() -> dict[str, int]:
    """The limits set in the environment. Raises UsageError on one that cannot be parsed."""
    return parse(filter(None, os.environ.get(VARIABLE, "").split(",")))


def parse(settings: Iterable[str]) -> dict[str, int]:
    """Parse `name=value` settings; 4e8 is a valid value. Raises UsageError."""
    values = {}
    for setting in settings:
        name, _, text = setting.strip().partition("=")
        if name not in LIMITS:
            raise UsageError(f"unknown limit {name!r}", suggest(name, LIMITS))
        try:
            number = float(text) if len(text) <= 25 else -1.0
        except ValueError:
            number = -1.0
        if not 1 <= number <= LARGEST:
            raise UsageError(
                f"limit {name}: {text!r} is not a number of {LIMITS[name].unit} from 1 to 2**62",
                f"the default is {LIMITS[name].value}",
            )
        values[name] = int(number)
    return values


def override(settings: Iterable[str]) -> None:
    """Override limits for this process and its children. Raises UsageError."""
    values = overrides() | parse(settings)
    os.environ[VARIABLE] = ",".join(f"{name}={value}" for name, value in values.items())
