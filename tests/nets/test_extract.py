from __future__ import annotations

import copy
import random

import pytest
import torch
from torch import Tensor, nn

from ofa_bench.errors import UsageError
from ofa_bench.nets.elastic import ElasticNorm, Statistics
from ofa_bench.nets.extract import extract
from ofa_bench.nets.mbconv import MBConvNet, build
from ofa_bench.space import Space, Subnet


def calibrate(net: MBConvNet, subnet: Subnet, images: Tensor) -> dict[str, Statistics]:
    named = {name: m for name, m in net.named_modules() if isinstance(m, ElasticNorm)}
    for norm in named.values():
        norm.record = []
    net.activate(subnet)
    with torch.no_grad():
        net(images)
    found = {name: norm.record[0] for name, norm in named.items() if norm.record}
    for name, norm in named.items():
        norm.record, norm.statistics = None, found.get(name)
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_subnet_alone_equals_itself_in_the_supernet_to_the_bit(
    net: MBConvNet, images: Tensor, seed: int, layout: torch.memory_format
) -> None:
    subnet = net.space.sample(random.Random(seed))
    x = images.contiguous(memory_format=layout)
    net.activate(subnet)
    assert torch.equal(extract(net, subnet)(x), net(x))
    statistics = calibrate(net, subnet, images)
    assert torch.equal(extract(net, subnet, statistics)(x + 1), net(x + 1))


def test_shortcuts_everywhere_come_along(space: Space, images: Tensor) -> None:
    net = build(space, 5, shortcuts="everywhere").double()
    net.activate(space.smallest)
    assert torch.equal(extract(net, space.smallest)(images), net(images))


def test_folding_equals_the_plain_module_to_rounding(space: Space, images: Tensor) -> None:
    net = build(space, 5)
    statistics = calibrate(net, space.smallest, images.float())
    alone = extract(net, space.smallest, statistics)
    assert torch.allclose(alone(images.float()), net(images.float()), atol=1e-5)


def test_only_torch_layers_hold_weights(net: MBConvNet) -> None:
    alone = extract(net, net.space.smallest)
    holders = {
        type(m) for m in alone.modules() if next(m.parameters(recurse=False), None) is not None
    }
    assert holders == {nn.Conv2d, nn.BatchNorm2d, nn.Linear}
    count = sum(parameter.numel() for parameter in alone.parameters())
    assert count == net.space.params(net.space.smallest, 5)


def test_the_copy_is_its_own(net: MBConvNet, images: Tensor) -> None:
    alone = extract(net, net.space.largest)
    before = copy.deepcopy(net.state_dict())
    with torch.no_grad():
        for parameter in alone.parameters():
            parameter.zero_()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_statistics_become_running_ones_and_eval_mode(net: MBConvNet, images: Tensor) -> None:
    statistics = calibrate(net, net.space.largest, images)
    alone = extract(net, net.space.largest, statistics)
    assert not alone.training
    mean, variance = statistics["blocks.0.stem_norm"]
    state = alone.state_dict()
    assert torch.equal(state["trunk.stem_norm.running_mean"], mean)
    assert torch.equal(state["trunk.stem_norm.running_var"], variance)


def test_missing_statistics_are_named(net: MBConvNet, images: Tensor) -> None:
    statistics = calibrate(net, net.space.smallest, images)
    with pytest.raises(UsageError, match=r"blocks\.2\.expand_norm"):
        extract(net, net.space.largest, statistics)
