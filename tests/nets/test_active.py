"""What a subnet uses, held against what a backward pass touches."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from ofa_bench.nets.mbconv import build
from ofa_bench.space import load_space


@pytest.mark.parametrize("name", ["toy", "mobilenetv3-ofa-32"])
def test_gradients_are_zero_outside_and_somewhere_not_inside(name: str, tmp_path: Path) -> None:
    space = load_space(name)
    net = build(space, 10).double()
    rng = random.Random(3)
    images = torch.randn(4, 3, space.resolutions[-1], space.resolutions[-1], dtype=torch.float64)
    for _ in range(3):
        subnet = space.sample(rng)
        net.zero_grad()
        net.activate(subnet)
        net(images).square().sum().backward()
        used = net.slices(subnet)
        for parameter_name, parameter in net.named_parameters():
            inside = torch.zeros_like(parameter, dtype=torch.bool)
            if parameter_name in used:
                inside[used[parameter_name]] = True
            grad = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
            assert not grad[~inside].any(), parameter_name
            if parameter_name.endswith("depthwise.weight") and inside.any():
                assert grad[inside].any(), parameter_name
