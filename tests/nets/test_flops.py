"""MACs of the space against torch's own flop counter, two flops a MAC, on the extracted net."""

from __future__ import annotations

import random

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ofa_bench.nets.extract import extract
from ofa_bench.nets.mbconv import build
from ofa_bench.space import load_space

NAMES = ["toy", "laptop-8", "laptop-32", "laptop-32-proxyless", "mobilenetv3-ofa"]
NAMES += ["mobilenetv3-ofa-w1.2", "proxylessnas-ofa", "proxylessnas-ofa-w1.3", "mobilenetv3-32"]


@pytest.mark.parametrize("name", NAMES)
def test_counts_match(name: str) -> None:
    space, classes = load_space(name), 17
    net = build(space, classes)
    rng = random.Random(name)
    for subnet in (space.smallest, space.sample(rng), space.sample(rng)):
        plain = extract(net, subnet)
        images = torch.zeros(1, 3, subnet.resolution, subnet.resolution)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            plain(images)
        assert counter.get_total_flops() == 2 * space.macs(subnet, classes)
        assert sum(p.numel() for p in plain.parameters()) == space.params(subnet, classes)
