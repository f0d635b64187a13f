"""Whether a ledger adds up, and could have happened."""

from __future__ import annotations

from collections.abc import Iterator

from ofa_bench.errors import UsageError
from ofa_bench.records.prices import price_of
from ofa_bench.records.schema import Record
from ofa_bench.records.spaces import Loader, trained_space
from ofa_bench.records.validation.findings import Finding, far
from ofa_bench.records.validation.ledger import FORWARD_ONLY, Planned, ledger_findings
from ofa_bench.records.validation.speed import speed_findings
from ofa_bench.space import Space


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
    low, high = _ends(space, record.task.classes)
    for index, phase in enumerate(record.cost.phases):
        where = f"cost.phases.{index}"
        if set(phase.passes) != set(phase.macs):
            yield Finding(f"{where}.macs", "are of other roles than its passes")
        for role, passes in phase.passes.items():
            trained = 1 if role in FORWARD_ONLY else 3
            macs = phase.macs.get(role, 0)
            if not low * trained * passes <= macs <= high * trained * passes:
                yield Finding(f"{where}.macs.{role}", f"no net of the space costs that in {passes}")
    yield from speed_findings(record, _blocks(space))


def _blocks(space: Space) -> int:
    """Blocks of the least net, with the first and the head."""
    return sum(min(option.depth) for option in space.options) + 2


def _ends(space: Space, classes: int) -> tuple[int, int]:
    sizes = space.resolutions
    small, large = space.smallest.at(min(sizes)), space.largest.at(max(sizes))
    return space.macs(small, classes), space.macs(large, classes)


def _dollars(record: Record) -> Iterator[Finding]:
    recorded, price = record.cost.usd, price_of(record.machine.model)
    hours = record.cost.device_seconds / 3600
    if price is None or (recorded is not None and not far(recorded, hours * price, 1e-6)):
        return
    yield Finding("cost.usd", f"is {recorded}, {hours:.3f} h at {price} $/h are {hours * price}")
