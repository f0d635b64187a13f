"""What makes steps fast changes no run beyond rounding: layout, shared prefixes.

Run freely in double precision. In single precision a rounding of one step turns a rectifier on or
off some steps later, and any two orders of summation part; there each step is compared from the
same weights.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

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


def twenty(
    *,
    shared: tuple[bool, ...] = (True,),
    layout: torch.memory_format = torch.channels_last,
    dtype: torch.dtype = torch.float64,
) -> Iterator[tuple[list[torch.Tensor], torch.Tensor]]:
    """Twenty sandwich steps of plain SGD with Nesterov momentum, from the same weights: after each
    step its gradients (one for each way to run it; the last is followed) and the parameters."""
    space = load_space("toy")
    net = build(space, 10, seed=1, dropout=0.0).to(dtype).to(memory_format=layout)
    named = dict(net.named_parameters())
    gradients = FlatGradients(named.items())
    optimizer = torch.optim.SGD(named.values(), lr=0.05, momentum=0.9, nesterov=True)
    plan = api.plan(method="bignas", dataset="digits", space="toy", epochs=2)
    found = load_digits()
    pixels = torch.tensor(found.images / 8 - 1, dtype=dtype)
    labels = torch.tensor(found.target)
    for index in range(STEPS):
        step = plan.schedule.step(index)
        mine = slice(index * IMAGES, (index + 1) * IMAGES)
        images = pixels[mine, None].repeat(1, 3, 1, 1).contiguous(memory_format=layout)
        seen = []
        for way in shared:
            passes = Passes(
                net=net,  # type: ignore[arg-type]
                bus=plan.bus,
                criterion=Losses(0.1),
                step=step,
                draws=sandwich(space, random.Random(index), sampled=2),
                shares=[1.0] * 4,
                shared=way,
            )
            gradients.zero()
            passes.run(Batch(images, labels[mine]), 0, 1.0, lambda draw: None)
            seen.append(flat(p.grad for p in named.values() if p.grad is not None))
        optimizer.param_groups[0]["lr"] = plan.bus.lr_at(step)
        optimizer.step()
        yield seen, flat(named.values())


def flat(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    """A copy of their values, one after the other."""
    return torch.cat([each.detach().flatten() for each in tensors])


def trained(
    *, shared: bool = True, layout: torch.memory_format = torch.channels_last
) -> torch.Tensor:
    """Parameters after the twenty."""
    *_, (_, parameters) = twenty(shared=(shared,), layout=layout)
    return parameters


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


def test_each_step_in_single_precision() -> None:
    steps = list(twenty(shared=(True, False), dtype=torch.float32))
    assert len(steps) == STEPS
    for (ours, naive), _ in steps:
        assert (ours - naive).abs().max() <= 1e-5 * naive.abs().max()
