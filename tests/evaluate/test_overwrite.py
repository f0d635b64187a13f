"""Activations work in place where that changes nothing, and only there."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

from ofa_bench.data.source import Source
from ofa_bench.evaluate.overwrite import PAYS, TRIAL, Overwriting
from ofa_bench.evaluate.tree import Tree
from ofa_bench.nets.mbconv import MBConvNet
from ofa_bench.space import Space, Subnet

Lively = Callable[[Space], MBConvNet]


class Odd(nn.Module):
    """A chain of given bodies over the images, the same for every subnet but for its last block."""

    stochastic: frozenset[int] = frozenset()

    def __init__(self, space: Space, body: nn.Module) -> None:
        super().__init__()
        self.space, self.classes = space, 10
        with torch.random.fork_rng():
            torch.manual_seed(0)
            ends = [nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 10)) for _ in range(2)]
        self.blocks = nn.ModuleList([body, *ends])

    def key(self, subnet: Subnet, index: int) -> Hashable | None:
        if index == 0:
            return "all"
        mine = 2 if subnet == self.space.largest else 1
        return "end" if index == mine else None

    def run(self, index: int, x: Tensor, subnet: Subnet, generator: Generator | None) -> Tensor:
        y: Tensor = self.blocks[index](x)
        return y


class Residual(nn.Module):
    """Reads its input after the activation has seen it."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return x + 2 * self.act(x)


class First(nn.Module):
    """Activates its input and never looks at it again; others may."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.Hardswish()

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.act(x)


class Fresh(nn.Module):
    """Activates what only it has."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(x - 0.5)
        return y


class Weighted(nn.Module):
    """Activates a parameter, a buffer and a tensor it keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.acts = nn.ModuleList(nn.ReLU() for _ in range(3))
        self.weight = nn.Parameter(torch.tensor([-1.0, 1.0]))
        self.register_buffer("shift", torch.tensor([-1.0, 1.0]))
        self.kept = torch.tensor([-1.0, 1.0])

    def forward(self, x: Tensor) -> Tensor:
        weight, shift, kept = map(lambda act, y: act(y), self.acts, self.tensors())
        return x * weight.sum() + shift.sum() + kept.sum()

    def tensors(self) -> list[Tensor]:
        return [self.weight, self.get_buffer("shift"), self.kept]


class Repeated(nn.Module):
    """Activates one number that stands for many."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.Hardswish()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(x.mean((1, 2, 3), keepdim=True).expand_as(x))
        return y


def often(net: Any, images: Tensor, subnet: Subnet) -> Overwriting:
    """Asked so often that the next time is in the way that a trial has shown."""
    overwriting = Overwriting(net)
    for _ in range(PAYS):
        with overwriting.on(0, images, subnet, True):
            pass
    return overwriting


@pytest.mark.parametrize(
    ("body", "safe"), [(Residual(), 0), (First(), 0), (Repeated(), 0), (Fresh(), 1)]
)
def test_only_what_nobody_misses(body: nn.Module, safe: int, toy: Space) -> None:
    net: Any = Odd(toy, body)
    images = torch.randn(5, 3, 8, 8)
    before = images.clone()
    overwriting = often(net, images, toy.largest)
    with overwriting.on(0, images, toy.largest, calibrated=True):
        assert sum(module.inplace for module in body.children()) == safe
        given = body(images)
    assert not any(module.inplace for module in body.children())
    assert torch.equal(images, before)
    assert torch.equal(given, body(images))


@pytest.mark.parametrize("body", [Residual(), First(), Fresh()])
def test_logits_are_those_of_the_blocks(body: nn.Module, toy: Space) -> None:
    net: Any = Odd(toy, body)
    subnets, found = [toy.largest, toy.smallest], {}
    images = torch.randn(5, 3, 8, 8)
    tree = Tree(net, subnets)
    for _ in range(PAYS + 1):
        tree.classify(images, lambda place, logits: found.update({place: logits}))
    with torch.no_grad():
        for place, end in ((0, 2), (1, 1)):
            assert torch.equal(found[place], net.blocks[end](body(images)))


def test_the_shipped_net_works_in_place(lively: Lively, digits: Source, toy: Space) -> None:
    net = lively(toy)
    tree = Tree(net, [toy.largest])
    working: list[bool] = []
    seen: list[Tensor] = []
    for block in net.blocks:
        for module in block.modules():
            if isinstance(module, nn.ReLU | nn.Hardswish):
                module.register_forward_hook(
                    lambda each, inputs, _: (
                        working.append(each.inplace) if len(inputs[0]) > TRIAL else None
                    )
                )
    batch = next(digits.evaluation("test", 8, 64))
    for run in (
        lambda: tree.calibrate([batch]),
        lambda: tree.classify(batch.images, lambda place, logits: seen.append(logits)),
    ):
        for number in range(PAYS + 1):
            working.clear()
            run()
            assert working and all(working) == (number >= PAYS - 1)
    assert len(seen) == PAYS + 1 and all(torch.equal(logits, seen[0]) for logits in seen)
    assert not any(getattr(module, "inplace", False) for module in net.modules())


def test_what_a_block_keeps_is_left_alone(toy: Space) -> None:
    body = Weighted()
    net: Any = Odd(toy, body)
    images = torch.randn(5, 3, 8, 8)
    with torch.inference_mode():
        overwriting = often(net, images, toy.largest)
        with overwriting.on(0, images, toy.largest, True):
            assert not any(act.inplace for act in body.acts)
    assert all(each.tolist() == [-1.0, 1.0] for each in body.tensors())


def test_what_the_trial_could_not_tell_is_left_alone(toy: Space) -> None:
    body = First()
    body.act = nn.ReLU()
    images = torch.randn(5, 3, 8, 8)
    images[:TRIAL].abs_()  # a rectifier changes nothing there
    with often(Odd(toy, body), images, toy.largest).on(0, images, toy.largest, True):
        assert not body.act.inplace


class Wide(Odd):
    """Its first block makes something of its input for the largest subnet only."""

    def key(self, subnet: Subnet, index: int) -> Hashable | None:
        wide = subnet == self.space.largest
        return wide if index == 0 else super().key(subnet, index)

    def run(self, index: int, x: Tensor, subnet: Subnet, generator: Generator | None) -> Tensor:
        fresh = index == 0 and subnet == self.space.largest
        return super().run(index, x * 1.5 if fresh else x, subnet, generator)


def test_a_key_is_tried_by_itself(toy: Space) -> None:
    body = First()
    net, images = Wide(toy, body), torch.randn(5, 3, 8, 8)
    overwriting = often(net, images, toy.largest)
    for _ in range(PAYS + 1):
        with overwriting.on(0, images, toy.largest, True):
            assert body.act.inplace
        with overwriting.on(0, images, toy.smallest, True):
            assert not body.act.inplace
