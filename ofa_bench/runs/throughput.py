"""Measure the training throughput of this machine: time a few steps per phase on random images."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count, islice

import torch

from ofa_bench.data.sources.batch import Address, MicroBatch
from ofa_bench.errors import DataError
from ofa_bench.losses import Losses
from ofa_bench.nets.protocol import decays
from ofa_bench.planning.assemble import Assembly
from ofa_bench.runs.open_images import source_of
from ofa_bench.runs.runner import build_net
from ofa_bench.schedule import Phase
from ofa_bench.training.devices import Devices, open_devices
from ofa_bench.training.forward_backward import Passes
from ofa_bench.training.gradients import FlatGradients
from ofa_bench.training.optimizer import Optimizer
from ofa_bench.training.precision import executor, set_threads
from ofa_bench.training.teacher import FrozenTeacher

TIMED = 3  # micro-batches, after those that warm up
INPUT_BATCHES = 8  # micro-batches of images that are fetched, more with many workers


@dataclass(frozen=True)
class MeasuredRate:
    """`steps`: seconds of a step on one device, by phase name. `input_rate`: images per second of
    the input pipeline, or None without data."""

    steps: dict[str, float]
    input_rate: float | None

    def seconds(self, assembly: Assembly) -> float:
        """Device seconds of the whole training."""
        return sum(self.steps[cost.name] * cost.steps for cost in assembly.cost)


def measure(assembly: Assembly) -> MeasuredRate:
    """Time one step per phase with the run's draws, passes and optimizer.

    Needs no data; if the data is present, the input pipeline is timed too. A policy that probes
    gets a loss of 0. Raises UsageError if the device is absent.
    """
    science = assembly.science
    largest = assembly.space.macs(assembly.space.largest, assembly.classes)
    set_threads(largest * science.optim.norm_batch)
    with open_devices(assembly.recipe.execution.device) as devices:
        bench = _Bench(assembly, devices)
        steps = {phase.name: bench.step(phase) for phase in assembly.schedule.phases}
        return MeasuredRate(steps, _input_rate(assembly, devices))


class _Bench:
    def __init__(self, assembly: Assembly, devices: Devices) -> None:
        self.assembly, self.devices = assembly, devices
        self.net = build_net(assembly, devices)
        self.over = executor(assembly.science, devices, bool(assembly.bus.merges))
        self.blocks = self.over(self.net)
        named = dict(self.net.named_parameters())
        self.gradients = FlatGradients(named.items())
        self.optimizer = Optimizer(assembly.science.optim, named, decays)
        self.optimizer.join(self.net.reachable(assembly.space))
        side, count = max(assembly.space.resolutions), assembly.schedule.norm_batch
        noise = torch.Generator().manual_seed(0)
        images = torch.randn(count, 3, side, side, generator=noise).to(devices.device)
        labels = torch.randint(assembly.classes, (count,), generator=noise).to(devices.device)
        self.batch = MicroBatch(images.contiguous(memory_format=torch.channels_last), labels)

    def step(self, phase: Phase) -> float:
        """Seconds of a step in the middle of a phase: all micro-batches and the update."""
        schedule, bus = self.assembly.schedule, self.assembly.bus
        number = schedule.phases.index(phase)
        step = schedule.step((schedule.edges[number] + schedule.edges[number + 1]) // 2)
        draws = bus.draws(step, lambda subnet: 0.0)
        value = self.assembly.teachers.get(phase.name)
        teacher = None if value is None else FrozenTeacher.taken(value, self.net, self, self.over)
        passes = Passes(
            net=self.net,
            bus=bus,
            criterion=Losses(self.assembly.science.optim.label_smoothing),
            step=step,
            draws=draws,
            shares=[1.0] * len(draws),
            blocks=self.blocks,
            teach=teacher.on if teacher else None,
        )
        self.gradients.zero()
        micro = self._timed(lambda: passes.run(self.batch, 0, 1.0, lambda draw: None))
        update = self._timed(lambda: self.optimizer.step(0.0))  # at rate 0, so nothing moves
        return len(schedule.cuts(step.index)) * micro + update

    def _timed(self, work: Callable[[], None]) -> float:
        """The median seconds of a call, after warm-up."""
        spent = []
        for _ in range(self.blocks.warm + TIMED):
            self.devices.synchronize()
            began = time.perf_counter()
            work()
            self.devices.synchronize()
            spent.append(time.perf_counter() - began)
        return statistics.median(spent[-TIMED:])

    def calibration(self, resolution: int) -> Iterator[MicroBatch]:
        """Random images to calibrate a teacher with."""
        yield self.batch.at(resolution)


def _input_rate(assembly: Assembly, devices: Devices) -> float | None:
    try:
        with closing(source_of(assembly, devices)) as source:
            addresses = _addresses(assembly.schedule.norm_batch, source.sizes["train"])
            stream = source.batches(addresses)
            ahead = 2 * source.workers  # batches that workers hold ready when the clock starts
            for _ in islice(stream, 1 + ahead):
                pass
            began = time.perf_counter()
            images = sum(len(batch.labels) for batch in islice(stream, INPUT_BATCHES + 2 * ahead))
            return images / (time.perf_counter() - began)
    except DataError:
        return None


def _addresses(size: int, images: int) -> Iterator[Address]:
    """Consecutive full batches, epoch after epoch."""
    for epoch in count():
        for at in range(0, max(1, images - size + 1), size):
            yield Address(epoch, at, min(at + size, images))
