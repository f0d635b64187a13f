"""Ratios within one process, rounds in turn and reversed; printed with their spread, never judged.

Run with `tox -e bench`, on a machine with nothing else to do.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ofa_bench.nets.mbconv import build
from ofa_bench.space import load_space

from .plain import plain

ROUNDS = 15


def step(net: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> Callable[[], None]:
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, nesterov=True, fused=True)

    def run() -> None:
        optimizer.zero_grad(set_to_none=False)
        F.cross_entropy(net(images), labels, label_smoothing=0.1).backward()
        optimizer.step()

    return run


def in_turn(ours: Callable[[], None], other: Callable[[], None]) -> list[float]:
    """Time of ours over the other's, a ratio a round."""
    ratios = []
    ours(), other()
    for number in range(ROUNDS):
        spent = {}
        pair = [("ours", ours), ("other", other)]
        for name, run in pair if number % 2 else reversed(pair):
            began = time.perf_counter()
            run()
            spent[name] = time.perf_counter() - began
        ratios.append(spent["ours"] / spent["other"])
    return ratios


@pytest.mark.parametrize(
    ("name", "batch"), [("laptop-8", 64), ("laptop-32", 128), ("mobilenetv3-32", 128)]
)
def test_elasticity_costs_next_to_nothing(name: str, batch: int, benchmark: object) -> None:
    space = load_space(name)
    size = max(space.resolutions)
    images = torch.randn(batch, 3, size, size).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(10, (batch,))
    net = build(space, 10)
    twin = plain(space, 10).to(memory_format=torch.channels_last)
    parameters = sum(p.numel() for p in twin.parameters())
    assert parameters == space.params(space.largest, 10)
    ratios = in_turn(step(net, images, labels), step(twin, images, labels))
    print(
        f"\n{name}: largest step, ours / plain torch layers: median "
        f"{statistics.median(ratios):.3f} [{min(ratios):.3f}, {max(ratios):.3f}], n={ROUNDS}"
    )
    benchmark.pedantic(step(net, images, labels), rounds=1)  # type: ignore[attr-defined]
