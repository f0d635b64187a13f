from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from ofa_bench.nets.mbconv import MBConvNet
from ofa_bench.nets.order import apply, descending


def importances(net: MBConvNet) -> list[Tensor]:
    return [block.project.weight.abs().sum((0, 2, 3)) for _, block in net.slots()]


@pytest.mark.parametrize(("mode", "expands"), [("global", (2, 3, 4)), ("grouped", (2, 3, 4))])
def test_sorting_leaves_the_largest_subnet_as_it_is(
    net: MBConvNet, images: Tensor, mode: str, expands: tuple[int, ...]
) -> None:
    for subnet in (net.space.largest, net.space.subnet("k3e4d1")):
        net.activate(subnet)
        before = net(images)
        apply(net, net.channel_order(mode, expands))  # type: ignore[arg-type]
        assert torch.allclose(net(images), before, rtol=0, atol=1e-12)


def test_global_order_is_falling_importance(net: MBConvNet) -> None:
    apply(net, net.channel_order("global", (2, 3, 4)))
    for importance in importances(net):
        assert torch.equal(importance, importance.sort(descending=True).values)


def test_grouped_order_keeps_what_narrow_subnets_have(net: MBConvNet, images: Tensor) -> None:
    """With three ratios the middle one's channels are a group: their set stays, their order not."""
    before = importances(net)
    apply(net, net.channel_order("grouped", (2, 3, 4)))
    for (_, block), old, new in zip(net.slots(), before, importances(net), strict=True):
        width = block.middle(3)
        for part in (slice(0, width), slice(width, None)):
            assert torch.equal(new[part], old[part].sort(descending=True).values)


def test_grouped_order_of_two_ratios_is_global(net: MBConvNet) -> None:
    grouped, whole = (net.channel_order(mode, (3, 4)) for mode in ("grouped", "global"))
    for one, other in zip(grouped, whole, strict=True):
        assert (one.name, one.dim) == (other.name, other.dim)
        assert torch.equal(one.index, other.index)


def test_without_gates_the_shared_width_keeps_its_function(net: MBConvNet, images: Tensor) -> None:
    for _, block in net.slots():
        block.se = None
    net.activate(net.space.subnet("k5e3d2"))
    before = net(images)
    apply(net, net.channel_order("grouped", (2, 3, 4)))
    assert torch.allclose(net(images), before, rtol=0, atol=1e-12)


def test_squeeze_channels_sort_as_a_whole(net: MBConvNet) -> None:
    apply(net, net.channel_order("grouped", (2, 3, 4)))
    for _, block in net.slots():
        if block.se is not None:
            importance = block.se.expand.weight.abs().sum((0, 2, 3))
            assert torch.equal(importance, importance.sort(descending=True).values)


def test_ties_keep_their_order() -> None:
    assert descending(torch.tensor([1.0, 2.0, 2.0, 1.0]), []).tolist() == [1, 2, 0, 3]
    assert descending(torch.tensor([1.0, 2.0, 3.0, 4.0]), [2]).tolist() == [1, 0, 3, 2]


def test_values_only_until_applied_and_then_to_every_tensor_named(net: MBConvNet) -> None:
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    order = net.channel_order("global", (2, 3, 4))
    parameters = dict(net.named_parameters())
    assert all(torch.equal(before[name], p) for name, p in parameters.items())
    momentum = {name: p.detach().clone() for name, p in parameters.items()}
    apply(net, order, lambda name: [parameters[name], momentum[name]])
    assert all(torch.equal(momentum[name], p) for name, p in parameters.items())
    assert not torch.equal(before["blocks.1.expand.weight"], parameters["blocks.1.expand.weight"])


def test_every_parameter_of_the_middle_moves_along(net: MBConvNet) -> None:
    moved = {permutation.name for permutation in net.channel_order("global", (2, 3, 4))}
    for name, block in net.slots():
        for leaf, parameter in block.named_parameters():
            still = leaf.startswith("project_norm") or "matrix" in leaf
            assert (f"{name}.{leaf}" in moved) != still
            assert parameter.dim() > 0


def test_random_subnets_still_run_after_sorting(net: MBConvNet, images: Tensor) -> None:
    apply(net, net.channel_order("global", (2, 3, 4)))
    net.activate(net.space.sample(random.Random(0)))
    assert net(images).isfinite().all()
