"""The images of a run, opened on its device."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

from ofa_bench.data.discovery.layout import ENVIRONMENT, user_cache
from ofa_bench.data.discovery.shared_listing import SharedFacts
from ofa_bench.data.open import listing_facts, open_source
from ofa_bench.data.sources.source import BatchSource
from ofa_bench.errors import DataError
from ofa_bench.hardware import usual_workers
from ofa_bench.hooks.catalogue import Catalogue
from ofa_bench.planning.assemble import Assembly, assemble, selected
from ofa_bench.recipe import Request
from ofa_bench.training.callbacks import Progress
from ofa_bench.training.devices import Devices
from ofa_bench.training.precision import set_threads


def source_of(
    assembly: Assembly, devices: Devices, progress: Progress | None = None
) -> BatchSource:
    """The run's images, on its device. One rank of each machine lists and samples them, the others
    read what it kept. Raises DataError."""
    if devices.world == 1 or assembly.spec.layout == "embedded":
        return _read(assembly, devices, progress)
    ours = _origin(assembly)
    origins = devices.gather(ours)
    first = origins.index(ours)
    source = facts = None
    if first == devices.rank:
        source = _read(assembly, devices, progress)
        facts = listing_facts()
    devices.wait_for_all()
    listed = devices.gather(facts)[first]
    return source or _read(assembly, devices, progress, listed)


def _origin(assembly: Assembly) -> tuple[str | int, ...]:
    """What ranks have in common that see the same folder: machine, folder, and where they keep
    hashes."""
    folder = Path(assembly.recipe.execution.data_dir or os.environ.get(ENVIRONMENT) or "data")
    with suppress(OSError):
        status = folder.stat()
        known = (str(folder.resolve()), status.st_dev, status.st_ino)
        return (socket.gethostname(), *known, str(user_cache()), assembly.spec.name)
    return (socket.gethostname(), os.getpid())


def _read(
    assembly: Assembly,
    devices: Devices,
    progress: Progress | None,
    listed: SharedFacts | None = None,
) -> BatchSource:
    execution = assembly.recipe.execution
    workers = execution.workers
    if workers is None:
        workers = usual_workers(devices.device.type != "cpu")
    return open_source(
        assembly.spec,
        Path(execution.data_dir) if execution.data_dir else None,
        resolution=max(assembly.space.resolutions),
        augment=assembly.science.augment,
        select=selected(assembly.recipe),
        seed=assembly.recipe.seed,
        device=devices.device,
        workers=workers,
        progress=progress.files if progress else None,
        listed=listed,
    )


def opened(
    request: Request, catalogue: Catalogue, devices: Devices, progress: Progress | None = None
) -> tuple[Assembly, BatchSource]:
    """Assemble, open the data, assemble again with its counts, and set the thread count."""
    assembly = assemble(request, catalogue)
    science, source = assembly.science, source_of(assembly, devices, progress)
    if not source.sizes["select"]:
        raise DataError(
            "data.select is 0, but choices and the curve need held-out images",
            "set data.select to a count, or to a share such as 0.1",
        )
    if (source.classes, source.sizes) != (assembly.classes, assembly.sizes):
        assembly = assemble(request, catalogue, (source.classes, source.sizes))
    largest = assembly.space.macs(assembly.space.largest, assembly.classes)
    set_threads(largest * science.optim.norm_batch)
    return assembly, source
