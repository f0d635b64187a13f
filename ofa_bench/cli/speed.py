"""Training MACs a second, as earlier records of this machine saw them. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ofa_bench.cli.allocator import on_gpu
from ofa_bench.engine.assemble import Assembly
from ofa_bench.hardware import cpu_model, gpu_model
from ofa_bench.records.prices import usd
from ofa_bench.records.store import Store


@dataclass(frozen=True)
class Speed:
    """MACs a device-second on a device of that model, and how many records tell it."""

    model: str
    macs: float | None
    records: int

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
        }


def speed_for(assembly: Assembly, store: Store) -> Speed:
    """What the store's records say of this machine, this space and this precision."""
    model = (gpu_model() if on_gpu(assembly.recipe.execution.device) else None) or cpu_model()
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
    return Speed(model, macs / seconds if seconds > 0 else None, records)
