"""Checks before the first step: held-out images decode, and records can be written."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ofa_bench.atomic_io import make_folder, unwritable
from ofa_bench.errors import BenchError, RankFailed
from ofa_bench.records.store import slug
from ofa_bench.training.callbacks import Progress
from ofa_bench.training.interrupts import Stop

if TYPE_CHECKING:
    from ofa_bench.runs.runner import RunContext

WEIGHTS = 8  # times their size: network, momentum and averages in three checkpoints, and weights
SPARE = 16 << 20  # bytes: record, logs, and what else is written
STREAMS = 2  # of batches at a time: training, and an evaluation in between
DESCRIPTORS = 8  # a worker's: pipes, its end, and two tensors in each of two batches under way
RESERVE = 32  # open files besides: logs, records, an image, sockets


def make_ready(prepared: RunContext, stop: Stop, progress: Progress) -> None:
    """Tell what is odd about the data, decode the held-out images, and try to write.

    Raises DataError for a held-out image that does not decode, BenchError for a folder that cannot
    be written or too little disk space. The first rank checks; all ranks raise the same error.
    """

    lacking = check_descriptors(prepared.source.workers)
    with stop.gently():  # the first rank hears a signal, and tells the others, which wait for it
        failure = _failure(prepared, stop, progress, lacking) if prepared.devices.first else None
        try:
            prepared.devices.wait_for_all()
            failure = prepared.devices.share(failure)
        except RankFailed as gone:
            raise failure or gone from gone
    if failure is not None:
        failure.on_all_ranks = True
        raise failure


def _failure(
    prepared: RunContext, stop: Stop, progress: Progress, lacking: BenchError | None
) -> BenchError | None:
    """What the checks of the first rank raise, a signal included."""
    try:
        with stop.anywhere():
            for note in prepared.source.notes:
                progress.note(f"note: {note}")
            if lacking is not None:
                raise lacking
            _check_room(prepared)
            prepared.source.check_held_out(progress.files)
    except BenchError as error:
        return error
    return None


def check_descriptors(workers: int) -> BenchError | None:
    """Raise this process's limit on open files as far as it may where the workers that load images
    need it; the error where that is not enough. Past the limit, a worker's end is a traceback."""
    if not workers:
        return None
    try:
        import resource

        needed = len(list(Path("/dev/fd").iterdir())) + STREAMS * DESCRIPTORS * workers + RESERVE
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (ImportError, OSError, ValueError):
        return None  # no Unix, or no limit that could be read
    if most >= needed:
        return None
    return BenchError(
        f"{workers} workers need about {needed} open files, and this process may open {hard}",
        "use fewer --workers, or have the hard limit raised (`ulimit -Hn` shows it; `ulimit -n N`)",
    )


def _check_room(prepared: RunContext) -> None:
    assembly, store = prepared.assembly, prepared.store
    science, table = assembly.science, assembly.science.evaluate
    parameters = 4 * assembly.space.params(assembly.space.largest, assembly.classes)
    nets = 2 + len(assembly.space.uniform()) + table.buckets * table.per_bucket
    bits = nets * (assembly.sizes["test"] // 8 + 1)
    kept = bits + nets * (assembly.sizes["select"] // 8 + 1)  # scores of the final evaluation
    needs = {
        prepared.folder: WEIGHTS * parameters + kept + SPARE,
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
        with tempfile.NamedTemporaryFile(prefix=".trial.", suffix=".part", dir=folder) as file:
            file.write(bytes(4096))
            file.flush()
    except OSError as error:
        raise unwritable(folder, error) from error
