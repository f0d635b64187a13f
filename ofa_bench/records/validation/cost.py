"""Whether a ledger adds up, and could have happened: peak rates by model, and the least overhead.

The bounds are generous: each is what the hardware's maker promises for dense products at the best
precision, which no training of a supernet comes near. GPUs: the vendors' data sheets (dense tensor
operations, half as many multiply-accumulates). CPU cores: 32 fp32 products a cycle (two AVX-512
units) at 3.5 GHz are 1.1e11; mobile networks, which are bound by memory, stay under half of that
(the fastest committed record has 1.6e10). In 16 bits: 1,024 products a cycle (AMX).
"""

from __future__ import annotations

from collections.abc import Iterator

from ofa_bench.errors import UsageError
from ofa_bench.records.prices import price_of
from ofa_bench.records.schema import PhaseCost, Record
from ofa_bench.records.spaces import Loader, trained_space
from ofa_bench.records.track import number, table
from ofa_bench.records.validation.findings import Finding, far
from ofa_bench.records.validation.ledger import FORWARD_ONLY, Planned, ledger_findings

GPU_MACS = {  # multiply-accumulates a second, by a part of the model's name; the first that fits
    "b300": 1.3e15,
    "b200": 1.2e15,
    "gb200": 1.25e15,
    "h200": 5.0e14,
    "h100": 5.0e14,
    "h800": 5.0e14,
    "h20": 1.5e14,
    "a100": 1.6e14,
    "a800": 1.6e14,
    "l40": 1.9e14,
    "a40": 7.5e13,
    "a10": 6.3e13,
    "l4": 6.1e13,
    "v100": 6.3e13,
    "t4": 3.3e13,
    "p100": 1.1e13,
    "5090": 2.1e14,
    "4090": 1.7e14,
    "3090": 7.2e13,
}
FASTEST_GPU = 2e15  # of a model that is not listed
CORE_MACS = {"fp32": 5e10, "bf16": 4e12, "fp16": 4e12}
APPLE_CORE_MACS = 1e12  # matrix units that cores share
LAUNCH = {"cpu": 1e-4, "gpu": 1e-5}  # seconds a block takes, forward and backward, at the least


def cost_findings(
    record: Record, load: Loader, planned: Planned | None = None
) -> Iterator[Finding]:
    """Sums over phases, MACs per pass, the schedule, speed, and dollars."""
    yield from _sums(record)
    yield from _passes(record, load)
    yield from ledger_findings(record, planned)
    yield from _dollars(record)


def _sums(record: Record) -> Iterator[Finding]:
    cost, phases = record.cost, record.cost.phases
    totals: dict[str, float] = {
        "train_macs": sum(sum(phase.macs.values()) for phase in phases),
        "subnet_passes": sum(sum(phase.passes.values()) for phase in phases),
        "images": sum(phase.images for phase in phases),
        "device_seconds": sum(phase.device_seconds for phase in phases),
        "wall_seconds": sum(phase.wall_seconds for phase in phases),
    }
    for name, total in totals.items():
        recorded = getattr(cost, name)
        if recorded != total if isinstance(recorded, int) else far(recorded, total):
            yield Finding(f"cost.{name}", f"is {recorded}, the phases sum to {total}")
    waited = sum(phase.waiting_share * phase.wall_seconds for phase in phases)
    share = waited / cost.wall_seconds if cost.wall_seconds else 0.0
    if far(cost.waiting_share, share, 1e-6):
        yield Finding("cost.waiting_share", f"is {cost.waiting_share}, the phases say {share}")
    if cost.peak_bytes < max((phase.peak_bytes for phase in phases), default=0):
        yield Finding("cost.peak_bytes", "is under that of a phase")


def _passes(record: Record, load: Loader) -> Iterator[Finding]:
    try:
        space = trained_space(record, load)
    except UsageError:
        return  # reported already, with the scores
    sizes, classes = space.resolutions, record.task.classes
    low = space.macs(space.smallest.at(min(sizes)), classes)
    high = space.macs(space.largest.at(max(sizes)), classes)
    for index, phase in enumerate(record.cost.phases):
        where = f"cost.phases.{index}"
        if set(phase.passes) != set(phase.macs):
            yield Finding(f"{where}.macs", "are of other roles than its passes")
        for role, passes in phase.passes.items():
            trained = 1 if role in FORWARD_ONLY else 3
            macs = phase.macs.get(role, 0)
            if not low * trained * passes <= macs <= high * trained * passes:
                yield Finding(f"{where}.macs.{role}", f"no net of the space costs that in {passes}")
    # Of the least net, with the first and the head.
    yield from _speed(record, sum(min(option.depth) for option in space.options) + 2)


def _dollars(record: Record) -> Iterator[Finding]:
    recorded, price = record.cost.usd, price_of(record.machine.model)
    hours = record.cost.device_seconds / 3600
    if price is None or (recorded is not None and not far(recorded, hours * price, 1e-6)):
        return
    yield Finding("cost.usd", f"is {recorded}, {hours:.3f} h at {price} $/h are {hours * price}")


def _speed(record: Record, blocks: int) -> Iterator[Finding]:
    """Phases that took less time than the machine needs; `blocks` are those of the least net."""
    machine = record.machine
    most, least = _peak(record), LAUNCH["gpu" if machine.gpu else "cpu"] * blocks
    for index, phase in enumerate(record.cost.phases):
        where, macs = f"cost.phases.{index}.device_seconds", sum(phase.macs.values())
        if macs > most * phase.device_seconds:
            yield Finding(
                where,
                f"is {phase.device_seconds:.4g} for {macs:.3g} MACs: {machine.model} has at most "
                f"{most:.3g} a second",
            )
        elif least * _launches(record, phase) > phase.device_seconds:
            yield Finding(
                where,
                f"is {phase.device_seconds:.4g} for {_launches(record, phase):,.0f} passes of "
                f"{blocks} blocks: no {'GPU' if machine.gpu else 'CPU'} starts them that fast",
            )
        if phase.device_seconds < phase.wall_seconds * (1 - 1e-9):
            yield Finding(where, "are less than wall_seconds")


def _peak(record: Record) -> float:
    """MACs a second and device that are not to be exceeded."""
    machine = record.machine
    if machine.gpu:
        named = (rate for name, rate in GPU_MACS.items() if name in machine.gpu.lower())
        return next(named, FASTEST_GPU)
    precision = str(record.science.get("precision"))
    core = APPLE_CORE_MACS if "apple" in machine.cpu.lower() else CORE_MACS.get(precision, 4e12)
    return core * max(1, min(machine.cores, machine.threads))


def _launches(record: Record, phase: PhaseCost) -> float:
    """Trained passes of a micro-batch; on a GPU, of a step, since graphs hold several."""
    trained = sum(n for role, n in phase.passes.items() if role not in FORWARD_ONLY)
    optim = table(record.science, "optim")
    size = number(optim, "batch" if record.machine.gpu else "norm_batch", 0.0)
    return trained / max(size, number(optim, "batch", 0.0) / 64, 1.0)
