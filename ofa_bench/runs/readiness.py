"""Checks before the first step: held-out images decode, and records can be written."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ofa_bench.atomic_io import make_folder, unwritable
from ofa_bench.errors import BenchError
from ofa_bench.records.store import slug
from ofa_bench.training.callbacks import Progress
from ofa_bench.training.interrupts import Stop

if TYPE_CHECKING:
    from ofa_bench.runs.runner import RunContext

WEIGHTS = 8  # times their size: network, momentum and averages in three checkpoints, and weights
SPARE = 16 << 20  # bytes: record, logs, and what else is written
INTERVAL = 10.0  # seconds between lines on the images decoded


def make_ready(prepared: RunContext, stop: Stop, progress: Progress) -> None:
    """Tell what is odd about the data, decode the held-out images, and try to write.

    Raises DataError for a held-out image that does not decode, BenchError for a folder that cannot
    be written or too little disk space. The first rank checks; all ranks raise the same error.
    """
    failure: BenchError | None = None
    if prepared.devices.first:
        try:
            for note in prepared.source.notes:
                progress.note(f"note: {note}")
            _check_room(prepared)
            with stop.anywhere():
                prepared.source.held_out.check(_line(progress))
        except BenchError as error:
            failure = error
    failure = prepared.devices.share(failure)
    if failure is not None:
        failure.on_all_ranks = True
        raise failure


def _line(progress: Progress) -> Callable[[int, int], None]:
    last = time.monotonic()

    def line(done: int, of: int) -> None:
        nonlocal last
        if time.monotonic() - last >= INTERVAL:
            last = time.monotonic()
            progress.note(f"decoding held-out images: {done:,} of {of:,}")

    return line


def _check_room(prepared: RunContext) -> None:
    assembly, store = prepared.assembly, prepared.store
    science, table = assembly.science, assembly.science.evaluate
    parameters = 4 * assembly.space.params(assembly.space.largest, assembly.classes)
    nets = 2 + len(assembly.space.uniform()) + table.buckets * table.per_bucket
    bits = nets * (assembly.sizes["test"] // 8 + 1)
    needs = {
        prepared.folder: WEIGHTS * parameters + SPARE,
        store.root / slug(science.dataset) / slug(science.method): bits + 1024 * nets + SPARE,
    }
    for folder, needed in needs.items():
        _try_writing(store.results, folder)
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise BenchError(
                f"{folder} has {free / 1e6:,.0f} MB free, the run may write {needed / 1e6:,.0f} MB",
                "free some space or choose another folder with --results DIR",
            )


def _try_writing(root: Path, folder: Path) -> None:
    """Write and remove a file, since permission bits do not show read-only disks and quotas."""
    make_folder(root, folder)
    try:
        handle, name = tempfile.mkstemp(prefix=".trial.", suffix=".part", dir=folder)
        try:
            os.write(handle, bytes(4096))
        finally:
            os.close(handle)
            Path(name).unlink()
    except OSError as error:
        raise unwritable(folder, error) from error
