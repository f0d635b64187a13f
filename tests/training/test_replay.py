"""Recorded blocks do what blocks do: on a CPU by a recorder that does the work anew, on a GPU by
CUDA graphs, of which the same is asked."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch

from ofa_bench import api
from ofa_bench.data.sources.batch import MicroBatch
from ofa_bench.draws import Draw, sandwich
from ofa_bench.hooks.hookspecs import Snapshot
from ofa_bench.losses import Losses
from ofa_bench.nets.mbconv import MBConvNet, build
from ofa_bench.space import load_space
from ofa_bench.training.cuda import graphs
from ofa_bench.training.cuda.graphs import PAYS, Blocks, OnCuda, Replay, Replays
from ofa_bench.training.forward_backward import Passes
from ofa_bench.training.gradients import FlatGradients
from ofa_bench.training.teacher import FrozenTeacher

STEPS = 14
SIDES = (8, 7)  # of the images; deep inside a net they come to the same
GPU = torch.device("cuda")
DEVICES = [
    torch.device("cpu"),
    pytest.param(GPU, marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]


class Anew:
    """Records by keeping the work, and counts. While it is recorded it must not be done, so what
    it adds to the gradients is taken back.

    It also holds the engine to what recordings rely on: between a block's forward and its backward
    no other key of the block runs, which would write over what backward needs.
    """

    full = False

    def __init__(self, flat: torch.Tensor | None) -> None:
        self.flat, self.recorded, self.replayed = flat, Counter[int](), 0
        self.under_way: set[int] = set()

    def __call__(self, index: int, work: Callable[[], None]) -> Callable[[], None]:
        assert index not in self.under_way
        before = None if self.flat is None else self.flat.clone()
        work()
        if self.flat is not None and before is not None:
            self.flat.copy_(before)
        self.recorded[index] += 1
        forward, learns = work.__name__ == "_forth", self.flat is not None
        checks = [False]  # the first forward after recording is compared, and not gone back on

        def again() -> None:
            self.replayed += 1
            if learns and forward:
                assert index not in self.under_way
                if checks:
                    checks.clear()
                else:
                    self.under_way.add(index)
            elif learns:
                self.under_way.remove(index)
            work()

        return again


class Run:
    """Steps of the engine's parts on noise, addressed by their number."""

    def __init__(
        self, device: torch.device, recorded: bool, dropout: float = 0.0, full: bool = False
    ) -> None:
        self.device, self.space = device, load_space("toy")
        self.dtype = torch.float64 if device.type == "cpu" else torch.float32
        net: MBConvNet = build(self.space, 10, seed=1, dropout=dropout)
        self.net = net.to(device, self.dtype)
        self.named = dict(self.net.named_parameters())
        self.gradients = FlatGradients(self.named.items())
        self.blocks = Blocks(self.net)
        if recorded:
            anew = Anew(self.gradients.flat) if device.type == "cpu" else OnCuda()
            if full:
                anew = Anew(self.gradients.flat)
                anew.full = True
            self.blocks = Replays(self.net, record=anew)
        self.plan = api.plan(method="bignas", dataset="digits", space="toy", epochs=4)
        self.optimizer = torch.optim.SGD(self.named.values(), lr=0.02, momentum=0.9)

    def steps(self, shared: bool = True) -> Iterator[torch.Tensor]:
        for number in range(STEPS):
            draws = [
                Draw(draw.subnet.at(SIDES[place % 2]), draw.role, draw.regularized)
                for place, draw in enumerate(sandwich(self.space, random.Random(number), sampled=2))
            ]
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

    def batch(self, seed: int, size: int) -> MicroBatch:
        generator = torch.Generator().manual_seed(seed)
        images = torch.randn(size, 3, 8, 8, generator=generator).to(self.device, self.dtype)
        labels = torch.randint(10, (size,), generator=generator).to(self.device)
        return MicroBatch(images.contiguous(memory_format=torch.channels_last), labels)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("shared", "dropout"), [(True, 0.0), (True, 0.3), (False, 0.3)])
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
        body = set(range(len(recorded.net.blocks))) - recorded.net.stochastic
        assert body <= set(record.recorded), "dropout keeps no other block from being recorded"
        assert record.replayed > 4 * record.recorded.total() > 80
        assert not record.under_way


def test_nothing_is_recorded_where_there_is_no_room() -> None:
    run = Run(torch.device("cpu"), True, full=True)
    for _ in run.steps():
        pass
    assert not run.blocks._record.recorded  # type: ignore[attr-defined]


@pytest.mark.parametrize("device", DEVICES)
def test_parameters_may_lie_anywhere(device: torch.device) -> None:
    """A parameter of the network itself, that one of its blocks uses."""
    found = []
    for recorded in (False, True):
        run = Run(device, False)
        scale = torch.nn.Parameter(torch.ones((), device=device, dtype=run.dtype))
        run.net.register_parameter("scale", scale)
        plain = run.net.run
        run.net.run = lambda *given, plain=plain, scale=scale: scale * plain(*given)  # type: ignore[method-assign]
        run.gradients = FlatGradients(run.net.named_parameters())
        if recorded:
            anew = Anew(run.gradients.flat) if device.type == "cpu" else None
            run.blocks = Replays(run.net, record=anew)
        found.append([flat[-1] for flat in run.steps()])
    assert torch.equal(torch.stack(found[0]), torch.stack(found[1]))
    assert all(found[1])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_recorded_teacher_says_the_same(device: torch.device, mode: Any) -> None:
    run = Run(device, False)
    value = Snapshot(run.space.largest, at="full", mode=mode)

    class Source:
        def calibration(self, resolution: int) -> Iterator[MicroBatch]:
            yield run.batch(99, 32).at(resolution)

    def over(net: Any) -> Blocks:
        return Replays(net, record=Anew(None) if device.type == "cpu" else None)

    plain = FrozenTeacher.taken(value, run.net, Source())
    recorded = FrozenTeacher.taken(value, run.net, Source(), over)
    kept = []
    for number in range(2 * PAYS + 8):
        batch, side = run.batch(number, 16), SIDES[number % 2]
        kept.append((recorded.on(batch)(side), plain.on(batch)(side)))
        if number == 2 * PAYS + 3:  # a resumed run fills the teacher anew
            moved = {n: 2 * value for n, value in plain.weights().items()}
            plain.load(moved)
            recorded.load(moved)
    assert all(torch.equal(one, other) for one, other in kept)


@pytest.mark.parametrize("device", DEVICES)
def test_logits_outlive_the_next_draw(device: torch.device) -> None:
    """A policy may keep what it was given: the last block's output is its own."""
    run = Run(device, True)
    subnets = [run.space.largest, run.space.smallest]
    kept: list[tuple[torch.Tensor, torch.Tensor]] = []
    for number in range(PAYS + 2):
        for subnet in subnets:
            x = run.batch(number, 16).images
            for index in range(len(run.net.blocks)):
                if run.net.key(subnet, index) is not None:
                    x = run.blocks.run(index, x, subnet, None)
            run.net.activate(subnet)
            x.sum().backward()
            kept.append((x.detach(), x.detach().clone()))
            assert torch.equal(x, run.net(run.batch(number, 16).images))
    assert all(torch.equal(one, other) for one, other in kept)


class Still(Anew):
    """As a graph does it: what was computed when it was recorded stays where it is."""

    def __call__(self, index: int, work: Callable[[], None]) -> Callable[[], None]:
        super().__call__(index, work)
        return lambda: None


@pytest.mark.parametrize("device", DEVICES)
@torch.no_grad()
def test_what_changes_by_itself_is_not_recorded(device: torch.device) -> None:
    """A block whose answer depends on how often it was asked."""

    class Counts(torch.nn.Module):
        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return x * self.calls

    run, counts = Run(device, False), Counts()
    run.net.run = lambda index, x, *rest: counts(x)  # type: ignore[method-assign]
    blocks = Replays(run.net, record=Still(None) if device.type == "cpu" else None)
    x = run.batch(0, 16).images
    for _ in range(3 * PAYS):
        assert torch.equal(blocks.run(0, x, run.space.largest, None), x * counts.calls)


@pytest.mark.parametrize("device", DEVICES)
def test_what_waits_for_the_device_is_tried_once(device: torch.device) -> None:
    """A recording that fails leaves nothing behind: neither numbers nor gradients."""
    tried = []

    class Refuses(Anew):
        def __call__(self, index: int, work: Callable[[], None]) -> Callable[[], None]:
            tried.append(index)
            if index == 1:
                raise RuntimeError("operation not permitted when stream is capturing")
            return super().__call__(index, work)

    class Waits(torch.nn.Module):
        def __init__(self, body: torch.nn.Module) -> None:
            super().__init__()
            self.body = body

        def forward(self, x: torch.Tensor, *args: Any) -> torch.Tensor:
            y: torch.Tensor = self.body(x, *args)
            return y * (1 + int(y.sum().item() > 0))

    plain, recorded = Run(device, False), Run(device, False)
    record = Refuses(recorded.gradients.flat) if device.type == "cpu" else None
    recorded.blocks = Replays(recorded.net, record=record)
    if device.type == "cuda":
        for run in (plain, recorded):
            waits = Waits(run.net.blocks[1])
            run.net.run = lambda index, x, subnet, generator, run=run, waits=waits: (  # type: ignore[method-assign]
                waits(MBConvNet.run(run.net, index, x, subnet, generator))
                if index == 1
                else MBConvNet.run(run.net, index, x, subnet, generator)
            )
            waits.body = torch.nn.Identity()
    for one, other in zip(plain.steps(), recorded.steps(), strict=True):
        assert torch.equal(one, other)
    assert tried.count(1) == (1 if device.type == "cpu" else 0)
    torch.rand(3, device=device)  # the generator is not left within a recording


def test_a_block_may_have_no_parameters() -> None:
    record = partial(Anew(torch.zeros(1)), 0)
    doubled = Replay(lambda x: 2 * x, torch.zeros(3, requires_grad=True), [], record)
    x = torch.arange(3.0).requires_grad_()
    assert torch.equal(doubled.forward(x), 2 * x)
    y = doubled(x)
    (y * y.detach()).sum().backward()
    assert x.grad is not None and torch.equal(x.grad, 4 * x)


def test_when_blocks_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    space = load_space("toy")
    net = build(space, 10)
    cpu, gpu = torch.device("cpu"), torch.device("cuda", 0)
    assert type(graphs.blocks_of(net, cpu, Blocks(net).autocast)) is Blocks  # type: ignore[arg-type]
    assert type(graphs.blocks_of(net, gpu, Blocks(net).autocast)) is Replays  # type: ignore[arg-type]
    assert type(graphs.blocks_of(net, gpu, Blocks(net).autocast, merges=True)) is Blocks  # type: ignore[arg-type]
    monkeypatch.setenv("OFA_BENCH_GRAPHS", "off")
    assert type(graphs.blocks_of(net, gpu, Blocks(net).autocast)) is Blocks  # type: ignore[arg-type]
