"""Whole training steps beside the official package: the same weights after four of them.

Ours are the engine's own parts (policies, passes with shared prefixes, flat gradients, optimizer);
theirs is the package's network under a plain loop as its training code has it: per-draw seeds,
gradients summed over draws, zeros for what was not drawn.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from ofa_bench import api
from ofa_bench.data.sources.batch import MicroBatch
from ofa_bench.draws import Draw, Role
from ofa_bench.losses import Losses
from ofa_bench.nets.protocol import decays
from ofa_bench.space import load_space
from ofa_bench.training.forward_backward import Passes
from ofa_bench.training.gradients import FlatGradients
from ofa_bench.training.optimizer import Optimizer
from ofa_bench.training.teacher import FrozenTeacher
from ofa_bench.weight_files import official
from tests.parity.test_network import BATCH, CLASSES, PIXELS, both, seed

pytest.importorskip("ofa")
__all__ = ["seed"]  # the fixture

STEPS = 4


def smoothed(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy against 0.9·onehot + 0.1/classes, written out."""
    target = torch.full_like(logits, 0.1 / CLASSES)
    target[torch.arange(len(labels)), labels] += 0.9
    return -(target * logits.log_softmax(1)).sum(1).mean()


def softened(logits: Tensor, teacher: Tensor) -> Tensor:
    return -(teacher.detach().softmax(1) * logits.log_softmax(1)).sum(1).mean()


def images_of(step: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed + step)
    shape = (BATCH, 3, PIXELS, PIXELS)
    pictures = torch.randn(shape, generator=generator, dtype=torch.float64)
    return pictures, torch.randint(CLASSES, (BATCH,), generator=generator)


class Ours:
    """The engine's parts on a run of the method, from a phase's first step on."""

    def __init__(self, net: Any, plan: Any, first: int) -> None:
        self.net, self.plan, self.first = net, plan, first
        optim = plan.science.optim
        self.gradients = FlatGradients(net.named_parameters())
        self.optimizer = Optimizer(optim, dict(net.named_parameters()), decays)
        self.optimizer.join(net.reachable(plan.schedule.step(first).phase.space))
        self.teacher: FrozenTeacher | None = None
        self.losses = Losses(optim.label_smoothing)

    def step(self, number: int, pictures: Tensor, labels: Tensor) -> Sequence[Draw]:
        step, bus = self.plan.schedule.step(self.first + number), self.plan.bus
        draws = [
            Draw(draw.subnet.at(PIXELS), draw.role, draw.regularized)
            for draw in bus.draws(step, lambda subnet: 0.0)
        ]
        passes = Passes(
            net=self.net,
            bus=bus,
            criterion=self.losses,
            step=step,
            draws=draws,
            shares=[1.0] * len(draws),
            teach=self.teacher.on if self.teacher else None,
        )
        self.gradients.zero()
        passes.run(MicroBatch(pictures, labels), 0, 1.0, lambda draw: None)
        self.optimizer.step(bus.lr_at(step))
        return draws


def peer_optimizer(peer: Any, optim: Any) -> torch.optim.SGD:
    plain = [p for name, p in peer.named_parameters() if "bn" in name or "bias" in name]
    rest = [p for name, p in peer.named_parameters() if not ("bn" in name or "bias" in name)]
    for parameter in peer.parameters():
        parameter.grad = torch.zeros_like(parameter)
    groups = [{"params": rest, "weight_decay": optim.weight_decay}]
    groups += [{"params": plain, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=0.1, momentum=optim.momentum, nesterov=True)


def train_both(
    ours: Ours, peer: Any, seed: int, teach: Any, activate: Callable[[int, int, Draw], None]
) -> None:
    """Some steps on both sides; `activate(step, draw number, our draw)` readies the peer."""
    optimizer = peer_optimizer(peer, ours.plan.science.optim)
    for number in range(STEPS):
        pictures, labels = images_of(number, seed)
        draws = ours.step(number, pictures, labels)
        optimizer.zero_grad(set_to_none=False)
        largest: Tensor | None = teach(pictures) if teach else None
        for place, draw in enumerate(draws):
            activate(number, place, draw)
            logits = peer(pictures)
            if teach:
                assert largest is not None
                loss = smoothed(logits, labels) + softened(logits, largest)
            elif draw.role is Role.LARGEST:
                loss, largest = smoothed(logits, labels), logits
            else:
                assert largest is not None
                loss = softened(logits, largest)
            loss.backward()
        rate = ours.plan.bus.lr_at(ours.plan.schedule.step(ours.first + number))
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()


def agree(ours: Ours, peer: Any, before: dict[str, Tensor]) -> None:
    """Every parameter, and that training moved them by far more than the tolerance."""
    theirs = {official.plain_name(name): value for name, value in peer.named_parameters()}
    moved = 0
    for name, parameter in ours.net.named_parameters():
        other = theirs[official.official_name(ours.net, name)]
        scale = float(other.detach().abs().max())
        assert float((parameter - other).detach().abs().max()) <= 1e-7 * scale, name
        moved += float((parameter - before[name]).detach().abs().max()) > 1e-5 * scale
    assert len(before) == len(theirs)
    assert moved > len(theirs) / 2


@pytest.mark.parametrize("name", ["mobilenetv3-ofa", "proxylessnas-ofa"])
def test_steps_of_an_expand_phase(name: str, seed: int) -> None:
    """Frozen teacher in training mode, four draws a step by the package's own seeds."""
    space = load_space(name)
    peer, net = both(space, seed)
    chosen = ("shrink.progressive.draws=reference", "net.dropout=0", "optim.lr=0.1")
    plan = api.plan(method="ofa", dataset="imagenet", space=name, set=chosen)
    phases = [phase.name for phase in plan.schedule.phases]
    ours = Ours(net, plan, plan.schedule.edges[phases.index("expand-2")])
    value = plan.teachers["expand-2"]
    assert value is not None
    ours.teacher = FrozenTeacher(value, copy.deepcopy(net), None)
    teacher = copy.deepcopy(peer)
    teacher.set_active_subnet(ks=7, e=6, d=4)

    def teach(pictures: Tensor) -> Tensor:
        with torch.no_grad():
            logits: Tensor = teacher(pictures)
        return logits

    def activate(step: int, number: int, draw: Draw) -> None:
        random.seed(int("%d%.3d%.3d" % (step, number, 0)))  # noqa: UP031 - as there
        peer.sample_active_subnet()

    before = {name: value.detach().clone() for name, value in net.named_parameters()}
    train_both(ours, peer, seed, teach, activate)
    agree(ours, peer, before)


def test_steps_of_a_sandwich(seed: int) -> None:
    """Largest on labels, smallest and two random nets on its soft predictions."""
    name = "mobilenetv3-ofa"  # the package's own sampler, which both have, takes no part in it
    space = load_space(name)
    peer, net = both(space, seed)
    # A rate at which random weights do not fly apart: rounding would grow a thousandfold by step.
    chosen = ("net.dropout=0", "optim.name=sgd", "optim.lr=0.0004", "optim.lr_batch=2048")
    chosen += ("net.shortcuts=identity", "optim.weight_decay=3e-5", "optim.nesterov=true")
    chosen += ("optim.warmup=0",)  # so that every step moves
    plan = api.plan(method="bignas", dataset="imagenet", space=name, set=chosen)
    ours = Ours(net, plan, 0)

    def activate(step: int, number: int, draw: Draw) -> None:
        peer.set_active_subnet(
            ks=[kernel or 3 for kernel in draw.subnet.kernel],
            e=[expand or 3 for expand in draw.subnet.expand],
            d=[space.depth_of(draw.subnet, stage) for stage in range(len(space.blocks))],
        )

    before = {name: value.detach().clone() for name, value in net.named_parameters()}
    train_both(ours, peer, seed, None, activate)
    agree(ours, peer, before)
