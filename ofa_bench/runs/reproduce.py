"""Repeat a recorded run in a separate folder."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from ofa_bench.errors import DataError, PluginError, TrainingDiverged
from ofa_bench.hooks.catalogue import Catalogue
from ofa_bench.recipe import Request
from ofa_bench.records.schema import Record
from ofa_bench.records.store import StoredRecord
from ofa_bench.runs.runner import execute, prepare, session
from ofa_bench.training.callbacks import Progress


@dataclass(frozen=True)
class Rerun:
    """The record of a repeated run, and its folder."""

    entry: StoredRecord
    folder: Path

    def give_up(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def rerun(
    record: Record, asked: Request, catalogue: Catalogue, progress: Progress, command: str
) -> Rerun:
    """Train and evaluate again with the recorded thread count; an interrupted rerun is resumed.

    `asked.results` is the rerun's folder; records in it are deleted first. Raises DataError if the
    images are not those of the record.
    """
    folder = Path(str(asked.results))
    shutil.rmtree(folder / "records", ignore_errors=True)
    with session(asked.device or "auto", asked.deterministic) as (stop, devices):
        prepared = prepare(asked, catalogue, devices, progress=progress)
        if prepared.source.hash != record.task.dataset_hash:
            raise DataError(
                f"the images of {record.task.dataset} here are not those of the record",
                "name the folder that holds them with --data-dir DIR",
            )
        torch.set_num_threads(max(1, record.machine.threads))
        stop.hint = "the same command resumes it"
        try:
            again = execute(prepared, stop, progress, command)
        except (TrainingDiverged, PluginError):
            entries = prepared.store.list(broken=lambda broken: None)
            failed = [e.record for e in entries if e.record.run_id == prepared.identity.run]
            if not failed:
                raise
            again = failed[0]
    assert again is not None  # only training alone gives none
    return Rerun(StoredRecord(prepared.store.path(again), again), folder)
