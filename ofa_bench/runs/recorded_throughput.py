"""Training MACs a second on this machine, as recorded or as calibrated. Torch-free."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_bench.atomic_io import write_whole
from ofa_bench.hardware import cpu_model, gpu_model, on_gpu
from ofa_bench.planning.assemble import Assembly
from ofa_bench.records.prices import usd
from ofa_bench.records.store import Store

if TYPE_CHECKING:
    from ofa_bench.runs.throughput import MeasuredRate


@dataclass(frozen=True)
class Speed:
    """MACs a device-second on a device of that model, and how many records tell it (none: it was
    calibrated); images a second of the input, where they were measured."""

    model: str
    macs: float | None
    records: int
    input_rate: float | None = None

    def seconds(self, macs: float) -> float | None:
        """Device time of so many training MACs; None where nothing is known."""
        return None if self.macs is None else macs / self.macs

    def usd(self, macs: float) -> float | None:
        """What they cost; None where speed or price is not known."""
        seconds = self.seconds(macs)
        return None if seconds is None else usd(seconds / 3600, self.model)

    def describe(self, macs: float) -> dict[str, Any]:
        """The prediction for so many MACs as JSON values."""
        return {
            "device": self.model,
            "records": self.records,
            "macs_per_second": self.macs,
            "device_seconds": self.seconds(macs),
            "usd": self.usd(macs),
            "input_images_per_second": self.input_rate,
        }


def speed_for(assembly: Assembly, store: Store) -> Speed:
    """What the store's records say of this machine, this space and this precision, else what was
    calibrated for them."""
    model = _model(assembly)
    space = assembly.space.fingerprint()
    macs = seconds = 0.0
    records = 0
    for entry in store.list(broken=lambda error: None):
        record = entry.record
        alike = record.science.get("precision") == assembly.science.precision
        if alike and record.machine.model == model and record.task.space.fingerprint == space:
            macs += record.cost.train_macs
            seconds += record.cost.device_seconds
            records += 1
    kept = _kept(store).get(_place(assembly), Speed(model, None, 0))
    if seconds > 0:
        return Speed(model, macs / seconds, records, kept.input_rate)
    return kept


def calibrated(assembly: Assembly, store: Store, pace: MeasuredRate) -> Speed:
    """The speed that was just measured, kept beside the runs for the next plan."""
    macs = sum(cost.total for cost in assembly.cost)
    speed = Speed(_model(assembly), macs / pace.seconds(assembly), 0, pace.input_rate)
    known = _kept(store) | {_place(assembly): speed}
    told = {place: asdict(each) for place, each in known.items()}
    write_whole(_file(store), json.dumps(told, indent=1) + "\n", root=store.results)
    return speed


def _model(assembly: Assembly) -> str:
    return (gpu_model() if on_gpu(assembly.recipe.execution.device) else None) or cpu_model()


def _place(assembly: Assembly) -> str:
    parts = (_model(assembly), assembly.space.fingerprint(), assembly.science.precision)
    return " ".join((*parts, assembly.spec.name))


def _file(store: Store) -> Path:
    return store.results / "runs" / "calibrated.json"


def _kept(store: Store) -> dict[str, Speed]:
    try:
        told = json.loads(_file(store).read_text(encoding="utf-8"))
        return {str(place): _read(each) for place, each in told.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # absent or damaged: it is measured again when asked for


def _read(told: Any) -> Speed:
    """A speed as it was kept; ValueError where its numbers are none to reckon with."""
    speed = Speed(**told)
    for number in (speed.macs, speed.input_rate):
        if number is not None and not (math.isfinite(number) and number > 0):
            raise ValueError(f"{number} is no speed")
    return speed
