"""Recorded blocks do what blocks do: on a CPU by a recorder that does the work anew, on a GPU by
CUDA graphs, of which the same is asked."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from ofa_bench import api
from ofa_bench.data.batch import Batch
from ofa_bench.draws import sandwich
from ofa_bench.engine import replay
from ofa_bench.engine.gradients import FlatGradients
from ofa_bench.engine.passes import Passes
from ofa_bench.engine.replay import PAYS, Blocks, Replays
from ofa_bench.engine.teacher import FrozenTeacher
from ofa_bench.hookspecs import Snapshot
from ofa_bench.losses import Losses
from ofa_bench.nets.mbconv import MBConvNet, build
from ofa_bench.space import load_space

STEPS = 24
GPU = torch.device("cuda")
DEVICES = [
    torch.device("cpu"),
    pytest.param(GPU, marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]


class Anew:
    """Records by keeping the work, and counts. While it is recorded it must not be done, so what
    it adds to the gradients is taken back."""

    def __init__(self, flat: torch.Tensor | None) -> None:
        self.flat, self.recorded, self.replayed = flat, 0, 0

    def __call__(self, index: int, work: Callable[[], None]) -> Callable[[], None]:
        before = None if self.flat is None else self.flat.clone()
        work()
        if self.flat is not None and before is not None:
            self.flat.copy_(before)
        self.recorded += 1

        def again() -> None:
            self.replayed += 1
            work()

        return again


class Run:
    """Steps of the engine's parts on noise, addressed by their number."""

    def __init__(self, device: torch.device, recorded: bool, dropout: float = 0.0) -> None:
        self.device, self.space = device, load_space("toy")
        self.dtype = torch.float64 if device.type == "cpu" else torch.float32
        net: MBConvNet = build(self.space, 10, seed=1, dropout=dropout)
        self.net = net.to(device, self.dtype)
        self.named = dict(self.net.named_parameters())
        self.gradients = FlatGradients(self.named.items())
        self.blocks = Blocks(self.net)
        if recorded:
            anew = Anew(self.gradients.flat) if device.type == "cpu" else None
            self.blocks = Replays(self.net, record=anew)
        self.plan = api.plan(method="bignas", dataset="digits", space="toy", epochs=4)
        self.optimizer = torch.optim.SGD(self.named.values(), lr=0.02, momentum=0.9)

    def steps(self, shared: bool = True) -> Iterator[torch.Tensor]:
        for number in range(STEPS):
            draws = sandwich(self.space, random.Random(number), sampled=2)
            self.gradients.zero()
            passes = Passes(
                net=self.net,  # type: ignore[arg-type]
                bus=self.plan.bus,
                criterion=Losses(0.1),
                step=self.plan.schedule.step(number),
                draws=draws,
                shares=[1.0] * 4,
                blocks=self.blocks,
                shared=shared,
            )
            for micro, size in enumerate([16, 16, 8]):
                passes.run(self.batch(3 * number + micro, size), micro, 1 / 3, lambda draw: None)
            self.optimizer.step()
            yield self.gradients.flat.clone()

    def batch(self, seed: int, size: int) -> Batch:
        generator = torch.Generator().manual_seed(seed)
        images = torch.randn(size, 3, 8, 8, generator=generator).to(self.device, self.dtype)
        labels = torch.randint(10, (size,), generator=generator).to(self.device)
        return Batch(images.contiguous(memory_format=torch.channels_last), labels)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("shared", [True, False])
def test_recorded_steps_are_the_same_steps(
    device: torch.device, dropout: float, shared: bool
) -> None:
    """Draws that part and meet, micro-batches of two sizes, weights that move in between."""
    plain, recorded = Run(device, False, dropout), Run(device, True, dropout)
    for one, other in zip(plain.steps(shared), recorded.steps(shared), strict=True):
        assert torch.equal(one, other)
    assert plain.gradients.flat.abs().max() > 0
    record: Any = recorded.blocks._record  # type: ignore[attr-defined]
    if isinstance(record, Anew):
        assert record.recorded > 20
        assert record.replayed > 5 * record.recorded


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_recorded_teacher_says_the_same(device: torch.device, mode: Any) -> None:
    run = Run(device, False)
    value = Snapshot(run.space.largest, at="full", mode=mode)

    class Source:
        def calibration(self, resolution: int) -> Iterator[Batch]:
            yield run.batch(99, 32)

    def over(net: Any) -> Blocks:
        return Replays(net, record=Anew(None) if device.type == "cpu" else None)

    plain = FrozenTeacher.taken(value, run.net, Source())
    recorded = FrozenTeacher.taken(value, run.net, Source(), over)
    kept = []
    for number in range(PAYS + 4):
        batch = run.batch(number, 16)
        said = recorded.on(batch)(8)
        kept.append((said, plain.on(batch)(8)))
        if number == PAYS + 1:  # a resumed run fills the teacher anew
            moved = {n: 2 * value for n, value in plain.weights().items()}
            plain.load(moved)
            recorded.load(moved)
    assert all(torch.equal(one, other) for one, other in kept)


@pytest.mark.parametrize("device", DEVICES)
def test_logits_outlive_the_next_draw(device: torch.device) -> None:
    """A policy may keep what it was given: the last block's output is its own."""
    run = Run(device, True)
    subnets = [run.space.largest, run.space.smallest]
    kept: list[torch.Tensor] = []
    for number in range(PAYS + 2):
        for subnet in subnets:
            x = run.batch(number, 16).images
            for index in range(len(run.net.blocks)):
                if run.net.key(subnet, index) is not None:
                    x = run.blocks.run(index, x, subnet, None)
            run.net.activate(subnet)
            kept.append(x.detach())
            assert torch.equal(x, run.net(run.batch(number, 16).images))
    assert len({each.data_ptr() for each in kept}) == len(kept)


@pytest.mark.parametrize("device", DEVICES)
def test_what_cannot_be_recorded_runs_as_it_is(device: torch.device) -> None:
    """A block that asks the device for a number, and one that is not what it was."""

    class Odd(torch.nn.Module):
        def __init__(self, body: torch.nn.Module, calls: list[int]) -> None:
            super().__init__()
            self.body, self.calls = body, calls

        def forward(self, x: torch.Tensor, *args: Any) -> torch.Tensor:
            self.calls.append(1)
            y: torch.Tensor = self.body(x, *args)
            return y * (1 + len(self.calls))

    run = Run(device, True)
    calls: list[int] = []
    run.net.blocks[0] = Odd(run.net.blocks[0], calls)
    record: Any = run.blocks._record  # type: ignore[attr-defined]
    x = run.batch(0, 16).images
    outputs = [run.blocks.run(0, x, run.space.largest, None).sum().item() for _ in range(PAYS + 3)]
    assert len(set(outputs)) == len(outputs)
    assert len(calls) >= PAYS + 3

    def refuse(index: int, work: Callable[[], None]) -> Callable[[], None]:
        raise RuntimeError("operation not permitted when stream is capturing")

    blocks = Replays(copy.deepcopy(run.net), record=refuse if record else None)  # type: ignore[arg-type]
    for _ in range(PAYS + 2):
        blocks.run(1, blocks.net.run(0, x, run.space.largest, None), run.space.largest, None)


def test_when_blocks_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    space = load_space("toy")
    net = build(space, 10)
    cpu, gpu = torch.device("cpu"), torch.device("cuda", 0)
    assert type(replay.blocks_of(net, cpu, Blocks(net).autocast)) is Blocks  # type: ignore[arg-type]
    assert type(replay.blocks_of(net, gpu, Blocks(net).autocast)) is Replays  # type: ignore[arg-type]
    assert type(replay.blocks_of(net, gpu, Blocks(net).autocast, merges=True)) is Blocks  # type: ignore[arg-type]
    monkeypatch.setenv("OFA_BENCH_GRAPHS", "off")
    assert type(replay.blocks_of(net, gpu, Blocks(net).autocast)) is Blocks  # type: ignore[arg-type]
