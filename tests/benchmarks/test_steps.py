"""The largest step against the same network in plain torch layers: what elasticity costs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ofa_bench.nets.mbconv import build
from ofa_bench.space import load_space

from .plain import plain
from .timing import FULL, Line, Table, race

ROUNDS = 15 if FULL else 7
BATCHES = {"laptop-8": 64, "laptop-32": 128, "mobilenetv3-32": 128 if FULL else 32}


def step(net: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> Callable[[], None]:
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, nesterov=True, fused=True)

    def run() -> None:
        optimizer.zero_grad(set_to_none=False)
        F.cross_entropy(net(images), labels, label_smoothing=0.1).backward()
        optimizer.step()

    return run


@pytest.mark.parametrize("name", BATCHES)
def test_elasticity_costs_next_to_nothing(name: str, table: Table) -> None:
    space, batch = load_space(name), BATCHES[name]
    size = max(space.resolutions)
    images = torch.randn(batch, 3, size, size).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(10, (batch,))
    net = build(space, 10)
    twin = plain(space, 10).to(memory_format=torch.channels_last)
    parameters = sum(p.numel() for p in twin.parameters())
    assert parameters == space.params(space.largest, 10)
    runs = {"ours": step(net, images, labels), "plain": step(twin, images, labels)}
    spent = race(runs, ROUNDS)
    ratios = [a / b for a, b in zip(spent["ours"], spent["plain"], strict=True)]
    what = f"largest step, {name}, batch {batch} (time)"
    table.add(Line(what, "plain torch layers", ratios, "≤ 1.08"))
