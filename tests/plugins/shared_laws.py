"""Laws that several papers' methods share, each stated once; every method's file tests its own."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from ofa_bench import Budget, Draw, Duration, Role, Schedule
from ofa_bench.losses import Losses
from ofa_bench.nets.mbconv import build
from ofa_bench.space import load_space


def warms_up_then_falls_along_one_cosine(method, space):
    """From 0.001 by equal steps to the peak at epoch 5 of 360, then (1 + cos πt/T) / 2."""
    budget = Budget(method.epochs, method.epochs)
    phases = tuple(method.shrink.shrink_phases(space, budget))
    warmup = Duration.parse(method.presets["optim"]["warmup"])
    schedule = Schedule(phases, budget, 1000, 100, 100, 0.8, 0, warmup)
    rate = lambda index: method.lr.lr_at(schedule.step(index)) / 0.8  # noqa: E731
    assert schedule.steps == 360 * 10
    assert rate(0) == pytest.approx(0.001 + 0.999 / 50)
    assert rate(24) == pytest.approx(0.001 + 0.999 / 2)
    assert rate(49) == rate(50) == 1
    for index in (500, 3599):
        expected = (1 + math.cos(math.pi * (index - 50) / 3550)) / 2
        assert rate(index) == pytest.approx(expected)


def begins_with_identities(method):
    """Each block of a fresh network gives what its way around gives."""
    net = build(load_space("toy"), 10, **method.presets["net"])
    for _, block in net.slots():
        x = torch.randn(4, block.inputs, 4, 4, generator=torch.Generator().manual_seed(0))
        y = block(x, max(block.depthwise.kernels), block.middle(3))
        assert torch.allclose(y, block.shortcut(x))


def learns_from_labels_alone(method, space):
    """-log p of the label, whichever net learns and whatever else was seen; no teacher."""
    logits = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0]])
    batch = SimpleNamespace(labels=torch.tensor([1, 0]))
    for role in (Role.LARGEST, Role.SMALLEST, Role.SAMPLED):
        draw = Draw(space.smallest, role)
        loss = method.distill.distill_loss(None, draw, logits, batch, None, Losses())
        assert float(loss) == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)
    assert method.distill.distill_teacher(None, []) is None
