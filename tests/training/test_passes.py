"""Shared prefixes give the naive sum of gradients, and micro-batches their weighted mean."""

from __future__ import annotations

import random

import pytest
import torch

from ofa_bench import api
from ofa_bench.data.sources.batch import MicroBatch
from ofa_bench.draws import sandwich
from ofa_bench.losses import Losses
from ofa_bench.nets.mbconv import build
from ofa_bench.space import load_space
from ofa_bench.training.forward_backward import Passes
from ofa_bench.training.gradients import FlatGradients


def gradient(shared: bool, dropout: float, cuts: list[int]) -> torch.Tensor:
    space = load_space("toy")
    net = build(space, 10, seed=1, dropout=dropout).double()
    gradients = FlatGradients(net.named_parameters())
    plan = api.plan(method="bignas", dataset="digits", space="toy", epochs=1)
    draws = sandwich(space, random.Random(5), sampled=2)
    shares = [1.0, 0.5, 0.25, 0.25]
    passes = Passes(
        net=net,  # type: ignore[arg-type]
        bus=plan.bus,
        criterion=Losses(0.1),
        step=plan.schedule.step(0),
        draws=draws,
        shares=shares,
        shared=shared,
    )
    generator = torch.Generator().manual_seed(2)
    for number, size in enumerate(cuts):
        images = torch.randn(size, 3, 8, 8, generator=generator, dtype=torch.float64)
        labels = torch.randint(10, (size,), generator=generator)
        passes.run(MicroBatch(images, labels), number, size / sum(cuts), lambda draw: None)
    return gradients.flat


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_shared_equals_naive(dropout: float) -> None:
    one, other = (gradient(shared, dropout, [16, 16]) for shared in (True, False))
    largest = other.abs().max()
    assert largest > 0
    assert (one - other).abs().max() <= 1e-10 * largest
