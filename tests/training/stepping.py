"""Twenty steps on digits of the engine's own parts, from weights that are addressed by a seed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

import torch
from sklearn.datasets import load_digits

from ofa_bench import api
from ofa_bench.data.sources.batch import MicroBatch
from ofa_bench.draws import sandwich
from ofa_bench.losses import Losses
from ofa_bench.nets.mbconv import build
from ofa_bench.space import load_space
from ofa_bench.training.forward_backward import Passes
from ofa_bench.training.gradients import FlatGradients

STEPS, IMAGES = 20, 64


def twenty(
    *,
    shared: tuple[bool, ...] = (True,),
    layout: torch.memory_format = torch.channels_last,
    dtype: torch.dtype = torch.float64,
    name: str = "toy",
    seed: int = 1,
    backwards: bool = False,
    moved: float = 0.0,
) -> Iterator[tuple[list[torch.Tensor], torch.Tensor]]:
    """Twenty sandwich steps of plain SGD with Nesterov momentum, from the same weights: after each
    step its gradients (one for each way to run it; the last is followed) and the parameters.

    `backwards`: all draws but the largest in the other order; `moved`: the start's relative change.
    """
    space = load_space(name)
    net = build(space, 10, seed=seed, dropout=0.0).to(dtype).to(memory_format=layout)
    named = dict(net.named_parameters())
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in named.values():
            value.mul_(1 + moved * torch.randn(value.shape, generator=noise).to(dtype))
    gradients = FlatGradients(named.items())
    optimizer = torch.optim.SGD(named.values(), lr=0.05, momentum=0.9, nesterov=True)
    plan = api.plan(method="bignas", dataset="digits", space=name, epochs=2)
    found = load_digits()
    pixels = torch.tensor(found.images / 8 - 1, dtype=dtype)
    labels = torch.tensor(found.target)
    for index in range(STEPS):
        step = plan.schedule.step(index)
        mine = slice(index * IMAGES, (index + 1) * IMAGES)
        images = pixels[mine, None].repeat(1, 3, 1, 1).contiguous(memory_format=layout)
        draws = sandwich(space, random.Random(1000 * seed + index), sampled=2)
        if backwards:
            draws[1:] = draws[:0:-1]
        seen = []
        for way in shared:
            passes = Passes(
                net=net,  # type: ignore[arg-type]
                bus=plan.bus,
                criterion=Losses(0.1),
                step=step,
                draws=draws,
                shares=[1.0] * 4,
                shared=way,
            )
            gradients.zero()
            passes.run(MicroBatch(images, labels[mine]), 0, 1.0, lambda draw: None)
            seen.append(flat(p.grad for p in named.values() if p.grad is not None))
        optimizer.param_groups[0]["lr"] = plan.bus.lr_at(step)
        optimizer.step()
        yield seen, flat(named.values())


def flat(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    """A copy of their values, one after the other."""
    return torch.cat([each.detach().flatten() for each in tensors])
