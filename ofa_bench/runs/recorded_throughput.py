"""Training throughput of this machine in MACs per second, from records or a calibration.

Torch-free.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, TypeAdapter

from ofa_bench.atomic_io import write_whole
from ofa_bench.hardware import cpu_model, gpu_model, on_gpu
from ofa_bench.planning.assemble import Assembly
from ofa_bench.records.prices import usd
from ofa_bench.records.store import Store

if TYPE_CHECKING:
    from ofa_bench.runs.throughput import MeasuredRate


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Speed:
    """Throughput of a device model: `macs` per device-second, averaged over `records` (0: from a
    calibration); `input_rate`: images per second of the input pipeline, if measured."""

    model: str
    macs: Positive | None
    records: int
    input_rate: Positive | None = None

    def seconds(self, macs: float) -> float | None:
        """Device seconds of a number of training MACs; None if the throughput is unknown."""
        return None if self.macs is None else macs / self.macs

    def usd(self, macs: float) -> float | None:
        """US dollars of a number of training MACs; None if throughput or price is unknown."""
        seconds = self.seconds(macs)
        return None if seconds is None else usd(seconds / 3600, self.model)

    def describe(self, macs: float) -> dict[str, Any]:
        """The prediction for a number of training MACs as JSON values."""
        return {
            "device": self.model,
            "records": self.records,
            "macs_per_second": self.macs,
            "device_seconds": self.seconds(macs),
            "usd": self.usd(macs),
            "input_images_per_second": self.input_rate,
        }


SPEEDS = TypeAdapter(dict[str, Speed])


def speed_for(assembly: Assembly, store: Store) -> Speed:
    """The throughput from records of this device model, space and precision, else from the last
    calibration for them."""
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
    kept = _kept(store).get(_key(assembly), Speed(model, None, 0))
    if seconds > 0:
        return Speed(model, macs / seconds, records, kept.input_rate)
    return kept


def device_rates(assembly: Assembly, store: Store) -> dict[str, float]:
    """Training MACs of a device-second, by "cpu" and "cuda": those of the slowest model that
    records of this space and precision name, else this machine's by its last calibration."""
    rates: dict[str, dict[str, list[float]]] = {}
    space, precision = assembly.space.fingerprint(), assembly.science.precision
    for record in (entry.record for entry in store.list(broken=lambda error: None)):
        alike = record.science.get("precision") == precision
        if alike and record.task.space.fingerprint == space and record.cost.device_seconds > 0:
            spent = rates.setdefault(record.machine.device, {})
            sums = spent.setdefault(record.machine.model, [0.0, 0.0])
            sums[0] += record.cost.train_macs
            sums[1] += record.cost.device_seconds
    calibration = _kept(store).get(_key(assembly))
    here = "cuda" if on_gpu(assembly.recipe.execution.device) else "cpu"
    known = {here: calibration.macs} if calibration and calibration.macs else {}
    return known | {
        device: min(macs / seconds for macs, seconds in models.values())
        for device, models in rates.items()
    }


def calibrated(assembly: Assembly, store: Store, pace: MeasuredRate) -> Speed:
    """Store a measured throughput in the results folder for later plans, and return it."""
    macs = sum(cost.total for cost in assembly.cost)
    speed = Speed(_model(assembly), macs / pace.seconds(assembly), 0, pace.input_rate)
    known = _kept(store) | {_key(assembly): speed}
    write_whole(_file(store), SPEEDS.dump_json(known, indent=1) + b"\n", root=store.results)
    return speed


def _model(assembly: Assembly) -> str:
    return (gpu_model() if on_gpu(assembly.recipe.execution.device) else None) or cpu_model()


def _key(assembly: Assembly) -> str:
    parts = (_model(assembly), assembly.space.fingerprint(), assembly.science.precision)
    return " ".join((*parts, assembly.spec.name))


def _file(store: Store) -> Path:
    return store.results / "runs" / "calibrated.json"


def _kept(store: Store) -> dict[str, Speed]:
    try:
        return SPEEDS.validate_json(_file(store).read_bytes())
    except (OSError, ValueError):
        return {}  # absent or damaged: treated as not calibrated
