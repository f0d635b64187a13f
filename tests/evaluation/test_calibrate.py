"""Norm statistics: what they are, where they come from, what they leave behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ofa_bench.data.sources.batch import MicroBatch
from ofa_bench.data.sources.source import BatchSource
from ofa_bench.errors import UsageError
from ofa_bench.evaluation.calibration import Statistics, calibrate, calibrated
from ofa_bench.nets.elastic import ElasticNorm
from ofa_bench.nets.extract import extract
from ofa_bench.nets.mbconv import MBConvNet
from ofa_bench.space import Space, load_space

Lively = Callable[[Space], MBConvNet]


def same(a: Statistics, b: Statistics) -> bool:
    return a.keys() == b.keys() and all(
        torch.equal(x, y) for name in a for x, y in zip(a[name], b[name], strict=True)
    )


@pytest.fixture
def net(lively: Lively, toy: Space) -> MBConvNet:
    return lively(toy)


@pytest.mark.parametrize("name", ["largest", "smallest", "k3e3d1"])
def test_they_are_what_one_computes_by_hand(net: MBConvNet, digits: BatchSource, name: str) -> None:
    subnet = net.space.subnet(name)
    seen: dict[str, list[Tensor]] = {}

    def note(full: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        return lambda module, inputs: seen.setdefault(full, []).append(inputs[0].detach().double())

    # Small and unequal batches, where weights and Bessel's correction show.
    whole = next(digits.calibration(8))
    cuts = ((0, 24), (24, 28), (28, 40))
    batches = [MicroBatch(whole.images[a:b], whole.labels[a:b]) for a, b in cuts]
    sizes = torch.tensor([b - a for a, b in cuts], dtype=torch.float64)
    norms = [
        (full, module) for full, module in net.named_modules() if isinstance(module, ElasticNorm)
    ]
    hooks = [module.register_forward_pre_hook(note(full)) for full, module in norms]
    net.activate(subnet)
    for batch in batches:
        net(batch.images)
    for hook in hooks:
        hook.remove()

    found = calibrate(net, subnet, batches)
    assert found.keys() == seen.keys()
    for full, inputs in seen.items():
        means = torch.stack([x.mean((0, 2, 3)) for x in inputs])
        variances = torch.stack([x.var((0, 2, 3), unbiased=False) for x in inputs])
        for value, each in zip(found[full], (means, variances), strict=True):
            by_hand = (each * sizes[:, None]).sum(0) / sizes.sum()
            torch.testing.assert_close(value.double(), by_hand, rtol=1e-4, atol=1e-5)


def test_twice_is_the_same_whatever_came_between(net: MBConvNet, digits: BatchSource) -> None:
    space = net.space
    first = calibrate(net, space.smallest, digits.calibration(8))
    other = calibrate(net, space.largest, digits.calibration(8))
    assert same(first, calibrate(net, space.smallest, digits.calibration(8)))
    with calibrated(net, space.largest, other):
        assert same(first, calibrate(net, space.smallest, digits.calibration(8)))


def test_precision_and_mode_of_training_do_not_reach_it(
    net: MBConvNet, digits: BatchSource
) -> None:
    first = calibrate(net, net.space.largest, digits.calibration(8))
    with torch.autocast("cpu", torch.bfloat16):
        inside = calibrate(net.eval(), net.space.largest, digits.calibration(8))
        assert torch.is_autocast_enabled("cpu")
    assert same(first, inside)
    assert all(value.dtype == torch.float32 for pair in first.values() for value in pair)


def test_nothing_is_left_behind(net: MBConvNet, digits: BatchSource) -> None:
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net.train()
    net.blocks[1].eval()
    modes = [module.training for module in net.modules()]
    switches = torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32
    statistics = calibrate(net, net.space.largest, digits.calibration(8))
    with calibrated(net, net.space.largest, statistics):
        pass
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert [module.training for module in net.modules()] == modes
    assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32) == switches
    norms = [module for module in net.modules() if isinstance(module, ElasticNorm)]
    assert all(norm.statistics is None and norm.record is None for norm in norms)
    assert all(parameter.grad is None for parameter in net.parameters())


def test_a_failure_leaves_nothing_behind_either(net: MBConvNet, digits: BatchSource) -> None:
    statistics = calibrate(net, net.space.largest, digits.calibration(8))
    held = calibrated(net, net.space.largest, statistics)
    with pytest.raises(RuntimeError, match="on purpose"), held:
        raise RuntimeError("on purpose")
    with pytest.raises(RuntimeError):
        calibrate(
            net, net.space.largest, iter([type("Odd", (), {"images": torch.zeros(2, 5, 8, 8)})])
        )
    norms = [module for module in net.modules() if isinstance(module, ElasticNorm)]
    assert all(norm.statistics is None and norm.record is None for norm in norms)
    assert net.training


def test_one_may_train_with_them(net: MBConvNet, digits: BatchSource) -> None:
    statistics = calibrate(net, net.space.largest, digits.calibration(8))
    batch = next(digits.calibration(8))
    net.activate(net.space.largest)
    with calibrated(net, net.space.largest, statistics):
        net(batch.images).square().mean().backward()
    assert net.get_parameter("blocks.0.stem.weight").grad is not None


@pytest.mark.parametrize("space", ["toy", "laptop-8"])
@pytest.mark.parametrize("name", ["largest", "smallest"])
def test_the_extracted_net_says_the_same(
    lively: Lively, digits: BatchSource, space: str, name: str
) -> None:
    net = lively(load_space(space))
    subnet = net.space.subnet(name)
    statistics = calibrate(net, subnet, digits.calibration(8))
    plain = extract(net, subnet, statistics)
    images = next(digits.evaluation("test", 8, 50)).images
    net.activate(subnet)
    with torch.no_grad(), calibrated(net, subnet, statistics):
        torch.testing.assert_close(net(images), plain(images), rtol=1e-4, atol=1e-4)


def test_statistics_of_another_net_are_refused(net: MBConvNet, digits: BatchSource) -> None:
    small, large = net.space.smallest, net.space.largest
    of_small = calibrate(net, small, digits.calibration(8))
    of_large = calibrate(net, large, digits.calibration(8))
    cases = (small, of_large, "has no norm blocks"), (large, of_small, "no statistics for block")
    for subnet, strange, reason in cases:
        held = calibrated(net, subnet, strange)
        with pytest.raises(UsageError, match=reason) as told, held:
            pytest.fail("statistics of another net were taken")
        assert "calibrate this very subnet" in told.value.hint
