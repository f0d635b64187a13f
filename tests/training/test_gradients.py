"""The engine's gradient against one written down apart from it: whole nets, one backward each."""

from __future__ import annotations

import random

import pytest
import torch

from ofa_bench import api
from ofa_bench.data.sources.batch import MicroBatch
from ofa_bench.draws import Draw, Role, sandwich
from ofa_bench.losses import Losses
from ofa_bench.nets.mbconv import build
from ofa_bench.space import load_space
from ofa_bench.training.forward_backward import Passes
from ofa_bench.training.gradients import FlatGradients

SHARES = [1.0, 0.5, 0.25, 0.25]
CRITERION = Losses(0.1)


def batches(cuts: list[int]) -> list[MicroBatch]:
    generator = torch.Generator().manual_seed(2)
    size = max(load_space("toy").resolutions)
    return [
        MicroBatch(
            torch.randn(count, 3, size, size, generator=generator, dtype=torch.float64),
            torch.randint(10, (count,), generator=generator),
        )
        for count in cuts
    ]


def fresh(seed: int) -> tuple[torch.nn.Module, FlatGradients, list[Draw]]:
    space = load_space("toy")
    net = build(space, 10, seed=1, dropout=0.0).double()
    return net, FlatGradients(net.named_parameters()), sandwich(space, random.Random(seed))


def engine(seed: int, cuts: list[int]) -> tuple[torch.Tensor, list[float]]:
    net, gradients, draws = fresh(seed)
    plan = api.plan(method="bignas", dataset="digits", space="toy", epochs=1)
    step = plan.schedule.step(0)
    passes = Passes(net, plan.bus, CRITERION, step, draws, SHARES)  # type: ignore[arg-type]
    for number, batch in enumerate(batches(cuts)):
        passes.run(batch, number, len(batch.labels) / sum(cuts), lambda draw: None)
    return gradients.flat, [float(loss) for loss in passes.losses]


def naive(seed: int, cuts: list[int]) -> tuple[torch.Tensor, list[float]]:
    net, gradients, draws = fresh(seed)
    losses = [0.0] * len(draws)
    for batch in batches(cuts):
        weight = len(batch.labels) / sum(cuts)
        for number, draw in enumerate(draws):
            net.activate(draw.subnet)  # type: ignore[operator]
            logits = net(batch.at(draw.subnet.resolution).images)
            if draw.role is Role.LARGEST:
                taught = logits.detach()
                loss = CRITERION.hard(logits, batch.labels)
            else:
                loss = CRITERION.soft(logits, taught)
            (loss * SHARES[number] * weight).backward()
            losses[number] += float(loss.detach()) * weight
    return gradients.flat, losses


@pytest.mark.parametrize("cuts", [[32], [16, 16], [21, 8, 3]], ids=str)
@pytest.mark.parametrize("seed", [5, 6, 7])
def test_shared_prefixes_give_the_naive_sum(seed: int, cuts: list[int]) -> None:
    (one, told), (other, meant) = engine(seed, cuts), naive(seed, cuts)
    largest = other.abs().max()
    assert largest > 0
    assert (one - other).abs().max() <= 1e-10 * largest
    assert told == pytest.approx(meant, rel=1e-10)


def test_parts_of_a_step_weigh_as_their_samples() -> None:
    cuts = [21, 8, 3]
    whole, _ = engine(5, cuts)
    net, gradients, draws = fresh(5)
    mean = torch.zeros_like(whole)
    plan = api.plan(method="bignas", dataset="digits", space="toy", epochs=1)
    for batch in batches(cuts):
        gradients.zero()
        step = plan.schedule.step(0)
        passes = Passes(net, plan.bus, CRITERION, step, draws, SHARES)  # type: ignore[arg-type]
        passes.run(batch, 0, 1.0, lambda draw: None)
        mean += gradients.flat * (len(batch.labels) / 32)
    assert (whole - mean).abs().max() <= 1e-10 * whole.abs().max()


@pytest.mark.parametrize("norm_batch", [16, 32, 64])
def test_cuts_cover_each_epoch_once(norm_batch: int) -> None:
    asked = (f"optim.norm_batch={norm_batch}",)
    schedule = api.plan(dataset="digits", space="toy", method="ofa", epochs=2, set=asked).schedule
    seen: dict[int, list[tuple[int, int]]] = {}
    for index in range(schedule.steps):
        for epoch, start, stop in schedule.cuts(index):
            assert 0 < stop - start <= norm_batch
            seen.setdefault(epoch, []).append((start, stop))
    for cuts in seen.values():
        assert [start for start, _ in cuts] == [0, *(stop for _, stop in cuts[:-1])]
        assert cuts[-1][1] == schedule.images - schedule.left_out
