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
from typing import Any

from torch import nn

from ofa_bench import __version__, seeding
from ofa_bench.deploy.latency.devices import Call, LatencyDevice, open_device
from ofa_bench.deploy.latency.fitting import calibrated, checked, fitted_line
from ofa_bench.deploy.latency.parts import HEAD, TRUNK, PartKey, Shaped, parts, whole
from ofa_bench.deploy.latency.rounds import Sample, sampled
from ofa_bench.deploy.latency.target import ROUNDS, MeasuringPlan, Watch
from ofa_bench.errors import UsageError
from ofa_bench.hardware import cpu_clock, cpu_governor
from ofa_bench.hooks.catalogue import Catalogue
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
    parts_cost,
)
from ofa_bench.space import Space, Subnet

FITTED, UNSEEN = 22, 30  # whole nets: for the calibration, the extremes among them, and the check
FEWEST = 8  # nets, below which there is no table


def measure(plan: MeasuringPlan, watch: Watch | None = None) -> LatencyTable:
    """Measure a table of all that the space's architecture table offers.

    Raises UsageError where the device or the space does not allow it.
    """
    target, sizes = plan.target, plan.resolutions
    space = Space(target.space.table)
    for size in sizes:
        space.subnet({**space.largest.to_json(), "resolution": size})
    nets = chosen_nets(space, sizes)
    with open_device(plan.device, plan.threads, target.catalogue) as device:
        build = target.catalogue.get("supernet", space.table.family).load()
        net = build(space, target.classes, seed=0, shortcuts=target.shortcuts)
        subjects = Subjects(device, watch)
        empty = subjects.add(Shaped(nn.ReLU(), (plan.batch, 1, 1, 1)))
        keys = {
            size: {key: subjects.add(part) for key, part in parts(net, size, plan.batch)}
            for size in sizes
        }
        wholes = {subnet: subjects.add(whole(net, subnet, plan.batch)) for subnet in nets}
        samples = sampled(subjects.calls, plan.rounds, seeding.rng("latency", space.name), watch)
        timings = tuple(_part(size, keys[size], samples) for size in sizes)
        calibration, check = _fitted(
            space,
            target.classes,
            timings,
            samples[empty].timing.ms,
            {net: samples[key] for net, key in wholes.items()},
        )
        return _table(plan, space, device, calibration, check, timings)


def measure_whole(
    net: Any,
    subnets: Sequence[Subnet],
    table: LatencyTable,
    *,
    rounds: int = ROUNDS,
    catalogue: Catalogue | None = None,
    watch: Watch | None = None,
) -> list[Timing]:
    """The times of whole subnets of a supernet, in their order, measured together: on the table's
    device, with its batch and threads.

    `net` stays as it is: each subnet is taken out with copies of its weights. Raises UsageError if
    this machine lacks the device, or the subnets cannot be taken out.
    """
    with open_device(table.device, table.threads, catalogue) as device:
        subjects = Subjects(device, watch)
        keys = [subjects.add(whole(net, subnet, table.batch)) for subnet in subnets]
        samples = sampled(subjects.calls, rounds, seeding.rng("latency whole"), watch)
        return [samples[key].timing for key in keys]


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


def _part(
    resolution: int, keys: Mapping[PartKey, Hashable], samples: Mapping[Hashable, Sample]
) -> PartTimings:
    timings = {key: samples[module].timing for key, module in keys.items()}
    blocks = sorted(key for key in timings if not isinstance(key, str))
    return PartTimings(
        resolution=resolution,
        trunk=timings[TRUNK],
        head=timings[HEAD],
        blocks=tuple(
            BlockTiming(slot=key[0], kernel=key[1], expand=key[2], **dict(timings[key]))
            for key in blocks
        ),
    )


def _fitted(
    space: Space,
    classes: int,
    timings: Sequence[PartTimings],
    overhead: float,
    nets: Mapping[Subnet, Sample],
) -> tuple[Calibration, LatencyCheck]:
    """Scale and offset, and the error on the nets that these were not fitted to."""
    times = {net: sample.timing.ms for net, sample in nets.items()}
    order = list(nets)
    number = min(FITTED, len(order) // 2)
    seen, unseen = order[:number], order[number:]
    plain = Calibration(overhead=overhead, scale=1.0, offset=0.0, nets=1)
    sums = parts_cost(timings, plain)
    calibration = calibrated(
        [sums.of(space, net) for net in seen], [times[net] for net in seen], overhead
    )
    cost = parts_cost(timings, calibration)
    macs = {net: space.macs(net, classes) for net in order}
    slope, start = fitted_line([macs[net] for net in seen], [times[net] for net in seen])
    check = checked(
        [cost.of(space, net) for net in unseen],
        [start + slope * macs[net] for net in unseen],
        [times[net] for net in unseen],
        [(nets[net].half(False), nets[net].half(True)) for net in unseen],
    )
    return calibration, check


def _table(
    plan: MeasuringPlan,
    space: Space,
    device: LatencyDevice,
    calibration: Calibration,
    check: LatencyCheck,
    timings: tuple[PartTimings, ...],
) -> LatencyTable:
    """The table, with what was measured where."""
    libraries = {plain_text(name): plain_text(text) for name, text in device.versions().items()}
    return LatencyTable(
        device=plan.device,
        batch=plan.batch,
        threads=plan.threads,
        classes=plan.target.classes,
        rounds=plan.rounds,
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
        space=SpaceMeasured(
            name=plain_text(space.name),
            fingerprint=space.fingerprint(),
            shortcuts=plan.target.shortcuts,
        ),
        machine=MeasuringMachine(
            processor=plain_text(device.processor),
            cores=cpu_count() or 1,
            system=plain_text(platform.platform()),
            governor=cpu_governor(),
            clock_mhz=cpu_clock(),
        ),
        versions={"ofa-bench": __version__, "python": platform.python_version(), **libraries},
        calibration=calibration,
        check=check,
        parts=timings,
    )
