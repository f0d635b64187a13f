"""Latency tables by the name of a space or a run: measured, written, and held against a run.

torch is imported when something is measured, and not before.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa_bench.atomic_io import write_whole
from ofa_bench.errors import BenchError, UnknownName, UsageError
from ofa_bench.hooks.catalogue import Catalogue
from ofa_bench.planning.assemble import space_of
from ofa_bench.recipe.arguments import request, whole
from ofa_bench.runs.finished import finished_run
from ofa_bench.runs.requests import catalogue_for
from ofa_bench.runs.single import find_run
from ofa_bench.search.latency_table import LatencyTable, load_latency_table, to_toml
from ofa_bench.space import Space

Watch = Callable[[float, str], None]
"""Told the share of the work that is done, and what is being done."""

ROUNDS = 20  # unless said otherwise
SHORTCUTS = ("identity", "everywhere")  # as net.shortcuts
CLASSES = 1000  # of a space's nets, where nothing else says how many
MOST_BATCH, MOST_THREADS, MOST_ROUNDS = 65_536, 1024, 100_000


@dataclass(frozen=True)
class LatencyTarget:
    """The nets that are meant: a space, its classes, and where blocks have shortcuts."""

    space: Space
    classes: int
    shortcuts: str
    catalogue: Catalogue


@dataclass(frozen=True)
class MeasuringPlan:
    """What is measured: which nets, on which device, for which inputs, and how often."""

    target: LatencyTarget
    device: str
    batch: int
    threads: int
    rounds: int
    resolutions: tuple[int, ...]


def latency_target(
    name: str | Space,
    results: str | Path | None = None,
    *,
    classes: int | None = None,
    shortcuts: str | None = None,
    plugins: Sequence[str] = (),
    trust: bool = False,
) -> LatencyTarget:
    """A space by its name or TOML table, or that of a finished run.

    Raises UsageError if it is neither, or a run has other classes or shortcuts; ResumeError if a
    run is not finished.
    """
    catalogue = catalogue_for(request(plugins=tuple(plugins)))
    if classes is not None:
        classes = whole("classes", classes, 1, 1_000_000)
    if shortcuts not in (None, *SHORTCUTS):
        raise UnknownName("shortcuts", str(shortcuts), SHORTCUTS)
    if isinstance(name, Space) or name.endswith(".toml") or name in catalogue.names("space"):
        space = name if isinstance(name, Space) else space_of(name, catalogue)
        return LatencyTarget(space, classes or CLASSES, shortcuts or SHORTCUTS[0], catalogue)
    try:
        find_run(name, results)
    except UsageError as error:
        spaces = ", ".join(catalogue.names("space"))
        raise UsageError(
            f"no space is called so, and {error.message}", f"spaces: {spaces}"
        ) from error
    run = finished_run(name, results, trust=trust, plugins=tuple(plugins))
    count = run.assembly.classes if run.record is None else run.record.task.classes
    if classes not in (None, count):
        raise UsageError(f"{run.folder.name} has {count} classes, not {classes}", "omit --classes")
    trained = run.assembly.science.net.shortcuts
    if shortcuts not in (None, trained):
        raise UsageError(f"{run.folder.name} has shortcuts: {trained}", "omit --shortcuts")
    return LatencyTarget(run.space, count, trained, run.catalogue)


def latency(
    target: str | Space,
    *,
    device: str,
    batch: int = 1,
    threads: int = 1,
    resolutions: Sequence[int] = (),
    classes: int | None = None,
    shortcuts: str | None = None,
    rounds: int = ROUNDS,
    output: str | Path | None = None,
    results: str | Path | None = None,
    plugins: Sequence[str] = (),
    trust: bool = False,
    watch: Watch | None = None,
) -> LatencyTable:
    """Measure the latency table of a space, or of a finished run's, in ms a batch.

    Blocks are timed as extracted, at `resolutions` (by default the listed ones); 22 whole nets
    calibrate their sum, 30 others say how far off it is (`LatencyTable.check`). `output` is written
    at the end. `classes` and `shortcuts` are those of a space's nets; a run has its own.

    Raises UsageError if there is no such space, run or device, or this machine lacks the device;
    BenchError if the file cannot be written, or the times make no table.
    """
    options: dict[str, Any] = {"classes": classes, "shortcuts": shortcuts, "plugins": plugins}
    wanted = latency_target(target, results, **options, trust=trust)
    wanted.catalogue.get("device", device)
    plan = MeasuringPlan(
        wanted,
        device,
        batch=whole("batch", batch, 1, MOST_BATCH),
        threads=whole("threads", threads, 1, MOST_THREADS),
        rounds=whole("rounds", rounds, 2, MOST_ROUNDS),
        resolutions=tuple(sorted(set(resolutions or wanted.space.listed))),
    )
    path = None if output is None else _writable(Path(output))
    from ofa_bench.deploy.latency.measure import measure

    table = measure(plan, watch)
    if path is not None:
        try:
            write_whole(path, to_toml(table))
        except BenchError as error:
            raise BenchError(error.message, "name another file with -o") from error
    return table


def check_table(
    file: str | Path,
    target: str,
    results: str | Path | None = None,
    *,
    plugins: Sequence[str] = (),
    trust: bool = False,
) -> LatencyTable:
    """A table that fits a run's space, classes and resolutions; UsageError if it does not."""
    table = load_latency_table(file)
    wanted = latency_target(target, results, plugins=plugins, trust=trust)
    table.check_fits(wanted.space, wanted.classes, shortcuts=wanted.shortcuts)
    return table


def _writable(path: Path) -> Path:
    """The path; BenchError where it cannot be written, before anything is measured."""
    folder = next(parent for parent in (*path.absolute().parents,) if parent.exists())
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise BenchError(f"{path} cannot be written", "name another file with -o")
    return path
