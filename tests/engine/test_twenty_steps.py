"""What makes steps fast changes no run beyond rounding: layout, shared prefixes.

In double precision: in single precision a rounding that turns a rectifier on or off is a step of
its own, and twenty of them tell nothing about the code.
"""

from __future__ import annotations

import random

import pytest
import torch
from sklearn.datasets import load_digits

from ofa_bench import api
from ofa_bench.data.batch import Batch
from ofa_bench.draws import sandwich
from ofa_bench.engine.gradients import FlatGradients
from ofa_bench.engine.passes import Passes
from ofa_bench.losses import Losses
from ofa_bench.nets.mbconv import build
from ofa_bench.space import load_space

STEPS, IMAGES = 20, 64


def trained(
    *, shared: bool = True, layout: torch.memory_format = torch.channels_last
) -> torch.Tensor:
    """Parameters after twenty sandwich steps of plain SGD with Nesterov momentum."""
    space = load_space("toy")
    net = build(space, 10, seed=1, dropout=0.0).double().to(memory_format=layout)
    named = dict(net.named_parameters())
    gradients = FlatGradients(named.items())
    optimizer = torch.optim.SGD(named.values(), lr=0.05, momentum=0.9, nesterov=True)
    plan = api.plan(method="bignas", dataset="digits", space="toy", epochs=2)
    found = load_digits()
    pixels = torch.tensor(found.images / 8 - 1, dtype=torch.float64)
    labels = torch.tensor(found.target)
    for index in range(STEPS):
        step = plan.schedule.step(index)
        passes = Passes(
            net=net,  # type: ignore[arg-type]
            bus=plan.bus,
            criterion=Losses(0.1),
            step=step,
            draws=sandwich(space, random.Random(index), sampled=2),
            shares=[1.0] * 4,
            shared=shared,
        )
        mine = slice(index * IMAGES, (index + 1) * IMAGES)
        images = pixels[mine, None].repeat(1, 3, 1, 1).contiguous(memory_format=layout)
        gradients.zero()
        passes.run(Batch(images, labels[mine]), 0, 1.0, lambda draw: None)
        optimizer.param_groups[0]["lr"] = plan.bus.lr_at(step)
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in named.values()])


@pytest.fixture(scope="module")
def usual() -> torch.Tensor:
    return trained()


def test_they_move(usual: torch.Tensor) -> None:
    net = build(load_space("toy"), 10, seed=1, dropout=0.0).double()
    start = torch.cat([p.detach().flatten() for p in net.parameters()])
    assert (usual - start).abs().max() > 0.01


def test_shared_prefixes(usual: torch.Tensor) -> None:
    assert (usual - trained(shared=False)).abs().max() <= 1e-10 * usual.abs().max()


def test_channels_last(usual: torch.Tensor) -> None:
    contiguous = trained(layout=torch.contiguous_format)
    assert (usual - contiguous).abs().max() <= 1e-10 * usual.abs().max()
