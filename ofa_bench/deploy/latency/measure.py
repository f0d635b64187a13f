"""Measure a latency table: the parts of a space's nets, and whole nets that tell how far it holds.

A call has a cost of its own, and a net's layers meet other caches than a block alone. So a call
that does nothing is measured too and subtracted from each part, and scale and offset are fitted on
whole nets; other whole nets, which the fit has not seen, say what the table is worth.
"""

from __future__ import annotations

import platform
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from os import cpu_count

from torch import nn

from ofa_bench import __version__, seeding
from ofa_bench.deploy.latency.devices import Call, LatencyDevice, open_device
from ofa_bench.deploy.latency.fitting import calibrated, checked, fitted_line
from ofa_bench.deploy.latency.parts import HEAD, TRUNK, PartKey, Shaped, parts, whole
from ofa_bench.deploy.latency.rounds import Sample, sampled
from ofa_bench.deploy.latency.target import ROUNDS, Watch
from ofa_bench.errors import UsageError
from ofa_bench.hardware import cpu_clock, cpu_governor
from ofa_bench.hooks.catalogue import Catalogue, discover
from ofa_bench.sanitize import plain_text
from ofa_bench.search.latency_table import (
    BlockTiming,
    Calibration,
    LatencyCheck,
    LatencyTable,
    MeasuringMachine,
    PartTimings,
    SpaceMeasured,
    Timing,
)
from ofa_bench.space import Space, Subnet

FITTED, UNSEEN = 22, 30  # whole nets: for the calibration, the extremes among them, and the check
FEWEST = 8  # nets, below which there is no table


@dataclass(frozen=True)
class MeasuringPlan:
    """What is measured: on which device, for which inputs, and how often."""

    space: Space
    classes: int
    device: str
    batch: int = 1
    threads: int = 1
    resolutions: tuple[int, ...] = ()
    shortcuts: str = "identity"
    rounds: int = ROUNDS

    def __post_init__(self) -> None:
        if self.rounds < 2:
            raise UsageError("one round has nothing to be repeated by", "measure 2 rounds or more")
        sizes = self.resolutions or self.space.listed
        object.__setattr__(self, "space", Space(self.space.table))
        object.__setattr__(self, "resolutions", tuple(sorted(set(sizes))))
        for size in self.resolutions:
            self.space.subnet({**self.space.largest.to_json(), "resolution": size})


def measure(
    plan: MeasuringPlan, catalogue: Catalogue | None = None, watch: Watch | None = None
) -> LatencyTable:
    """Measure a table. Raises UsageError where the device or the space does not allow it."""
    known = catalogue or discover().catalogue
    nets = chosen_nets(plan.space, plan.resolutions)
    with open_device(plan.device, plan.threads, known) as device:
        build = known.get("supernet", plan.space.table.family).load()
        net = build(plan.space, plan.classes, seed=0, shortcuts=plan.shortcuts)
        subjects = Subjects(device, watch)
        empty = subjects.add(Shaped(nn.ReLU(), (plan.batch, 1, 1, 1)))
        keys = {
            size: {key: subjects.add(part) for key, part in parts(net, size, plan.batch)}
            for size in plan.resolutions
        }
        wholes = {subnet: subjects.add(whole(net, subnet, plan.batch)) for subnet in nets}
        rng = seeding.rng("latency", plan.space.name)
        samples = sampled(subjects.calls, plan.rounds, rng, watch)
        draft = _draft(plan, device, samples[empty].timing.ms, keys, samples)
        return _fitted(draft, plan.space, {net: samples[key] for net, key in wholes.items()})


@dataclass
class Subjects:
    """Modules made ready on a device, each distinct one once."""

    device: LatencyDevice
    watch: Watch | None = None
    calls: dict[Hashable, Call] = field(default_factory=dict)

    def add(self, subject: Shaped) -> Hashable:
        """Prepare a module, unless one like it is ready; returns its key."""
        key = subject.key
        if key not in self.calls:
            if self.watch is not None:
                self.watch(0.0, f"preparing module {len(self.calls) + 1}")
            self.calls[key] = self.device.prepare(subject.module, subject.shape)
        return key


def chosen_nets(space: Space, resolutions: Sequence[int]) -> list[Subnet]:
    """The whole nets to measure: those of the calibration first, with the largest and the smallest
    among them. Raises UsageError in a space of too few."""
    low, high = min(resolutions), max(resolutions)
    nets = {space.smallest.at(low): None, space.largest.at(high): None}
    wanted, rng = FITTED + UNSEEN, seeding.rng("latency nets", space.name)
    for _ in range(20 * wanted):
        if len(nets) < wanted:
            nets[space.sample(rng, resolution=rng.choice(list(resolutions)))] = None
    if len(nets) < FEWEST:
        raise UsageError(
            f"{space.name} has {len(nets)} nets, too few to check a table of its blocks",
            "measure those nets whole",
        )
    return list(nets)


def _draft(
    plan: MeasuringPlan,
    device: LatencyDevice,
    overhead: float,
    keys: Mapping[int, Mapping[PartKey, Hashable]],
    samples: Mapping[Hashable, Sample],
) -> LatencyTable:
    """The table before it is fitted."""
    timings = {
        size: {key: samples[module].timing for key, module in mine.items()}
        for size, mine in keys.items()
    }
    return LatencyTable(
        device=plan.device,
        batch=plan.batch,
        threads=plan.threads,
        classes=plan.classes,
        rounds=plan.rounds,
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
        space=SpaceMeasured(
            name=plain_text(plan.space.name),
            fingerprint=plan.space.fingerprint(),
            shortcuts=plan.shortcuts,
        ),
        machine=_machine(device),
        versions={"ofa-bench": __version__, "python": platform.python_version()}
        | {plain_text(name): plain_text(text) for name, text in device.versions().items()},
        calibration=Calibration(overhead=overhead, scale=1.0, offset=0.0, nets=1),
        check=LatencyCheck(
            nets=1,
            median_error=0,
            p90_error=0,
            tau=0,
            macs_error=0,
            macs_tau=0,
            repeat_error=0,
            repeat_tau=0,
        ),
        parts=tuple(_part(size, mine) for size, mine in timings.items()),
    )


def _machine(device: LatencyDevice) -> MeasuringMachine:
    return MeasuringMachine(
        processor=plain_text(device.processor),
        cores=cpu_count() or 1,
        system=plain_text(platform.platform()),
        governor=cpu_governor(),
        clock_mhz=cpu_clock(),
    )


def _part(resolution: int, timings: Mapping[PartKey, Timing]) -> PartTimings:
    blocks = sorted(
        ((key, timing) for key, timing in timings.items() if not isinstance(key, str)),
        key=lambda pair: pair[0],
    )
    return PartTimings(
        resolution=resolution,
        trunk=timings[TRUNK],
        head=timings[HEAD],
        blocks=tuple(
            BlockTiming(slot=slot, kernel=kernel, expand=expand, **dict(timing))
            for (slot, kernel, expand), timing in blocks
        ),
    )


def _fitted(draft: LatencyTable, space: Space, nets: Mapping[Subnet, Sample]) -> LatencyTable:
    """The table with scale and offset, and its error on the nets that these were not fitted to."""
    times = {net: sample.timing.ms for net, sample in nets.items()}
    order = list(nets)
    number = min(FITTED, len(order) // 2)
    seen, unseen = order[:number], order[number:]
    sums = draft.cost()
    calibration = calibrated(
        [sums.of(space, net) for net in seen],
        [times[net] for net in seen],
        draft.calibration.overhead,
    )
    table = draft.model_copy(update={"calibration": calibration})
    cost = table.cost()
    macs = {net: space.macs(net, draft.classes) for net in order}
    slope, start = fitted_line([macs[net] for net in seen], [times[net] for net in seen])
    check = checked(
        [cost.of(space, net) for net in unseen],
        [start + slope * macs[net] for net in unseen],
        [times[net] for net in unseen],
        [(nets[net].half(False), nets[net].half(True)) for net in unseen],
    )
    return table.model_copy(update={"check": check})
