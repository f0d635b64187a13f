"""A recorded run made again, in a folder of its own."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from ofa_bench.errors import DataError, PluginError, TrainingDiverged
from ofa_bench.evaluation.exact_math import shielded
from ofa_bench.hooks.catalogue import Catalogue
from ofa_bench.recipe import Request
from ofa_bench.records.schema import Record
from ofa_bench.records.store import StoredRecord
from ofa_bench.runs.runner import RunContext, carry_out, prepare
from ofa_bench.training.callbacks import Progress
from ofa_bench.training.devices import open_devices
from ofa_bench.training.interrupts import listening


@dataclass(frozen=True)
class Rerun:
    """What came of it: the record and where it lies until the folder is given up."""

    entry: StoredRecord
    folder: Path

    def give_up(self) -> None:
        """Remove everything the rerun left."""
        shutil.rmtree(self.folder, ignore_errors=True)


def rerun(
    record: Record, asked: Request, catalogue: Catalogue, progress: Progress, command: str
) -> Rerun:
    """Train and evaluate again, with the recorded thread count; a begun rerun goes on.

    `asked.results` is the rerun's own folder: records in it are thrown away first. Raises DataError
    where the images here are not those of the record.
    """
    folder = Path(str(asked.results))
    shutil.rmtree(folder / "records", ignore_errors=True)
    with (
        shielded(asked.deterministic),
        listening() as stop,
        open_devices(asked.device or "auto") as devices,
        stop.anywhere(),
    ):
        prepared = prepare(asked, catalogue, devices)
        if prepared.source.hash != record.task.dataset_hash:
            raise DataError(
                f"the images of {record.task.dataset} here are not those of the record",
                "name the folder that holds them with --data-dir DIR",
            )
        torch.set_num_threads(max(1, record.machine.threads))
        stop.hint = "the same line goes on with it"
        try:
            again = carry_out(prepared, catalogue, stop, progress, command)
        except (TrainingDiverged, PluginError) as error:
            again = _failure(prepared, error)
    return Rerun(StoredRecord(prepared.store.path(again), again), folder)


def _failure(prepared: RunContext, error: Exception) -> Record:
    """The record that a run left which came to no good end."""
    for entry in prepared.store.list(broken=lambda broken: None):
        if entry.record.run_id == prepared.identity.run:
            return entry.record
    raise error
