from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from ofa_bench.errors import UsageError
from ofa_bench.nets.blocks import MBConv, Shortcut, Trunk
from ofa_bench.nets.init import Init
from ofa_bench.nets.mbconv import MBConvNet, build
from ofa_bench.nets.protocol import Calibrates, SortsChannels, Supernet, decays
from ofa_bench.space import Space, Subnet, load_space

# OFA, CompOFA and timm: parameters of the full supernets, 1000 classes or as said.
FULL = [
    ("mobilenetv3-ofa", 1000, 7_678_880),
    ("mobilenetv3", 1000, 7_664_760),
    ("mobilenetv3-32", 10, 6_396_570),
    ("proxylessnas", 1000, 5_103_336),
]


@pytest.mark.parametrize(("name", "classes", "count"), FULL)
def test_full_supernets_have_the_published_size(name: str, classes: int, count: int) -> None:
    net = build(load_space(name), classes)
    assert sum(parameter.numel() for parameter in net.parameters()) == count


def test_kernel_matrices_are_all_that_the_largest_subnet_leaves(space: Space) -> None:
    net = build(space, 5)
    matrices = {name for name, _ in net.named_parameters() if "matrix" in name}
    assert len(matrices) == 2 * 6
    used = sum(p.numel() for name, p in net.named_parameters() if name not in matrices)
    assert used == space.params(space.largest, 5)


def walk(net: MBConvNet, x: Tensor, subnet: Subnet) -> Iterator[Tensor]:
    for index in range(len(net.blocks)):
        if net.key(subnet, index) is not None:
            x = net.run(index, x, subnet, None)
            yield x


def test_blocks_one_by_one_make_the_forward(net: MBConvNet, images: Tensor) -> None:
    for seed in range(4):
        subnet = net.space.sample(random.Random(seed))
        net.activate(subnet)
        assert torch.equal(list(walk(net, images, subnet))[-1], net(images))


def test_equal_keys_mean_equal_activations(net: MBConvNet, images: Tensor) -> None:
    one, other = net.space.subnet("k5e3d2"), net.space.subnet("k5e3d1")
    keys = [[net.key(subnet, index) for index in range(len(net.blocks))] for subnet in (one, other)]
    assert keys[0][:2] == keys[1][:2]
    assert keys[1][2] is None and keys[0][2] is not None
    first, second = list(walk(net, images, one)), list(walk(net, images, other))
    assert torch.equal(first[1], second[1])


def test_keys_tell_resolution_kernel_and_width(space: Space) -> None:
    net = build(space, 5)
    subnet = space.largest
    assert net.key(subnet, 0) != net.key(subnet.at(subnet.resolution + 4), 0)
    narrow = [space.subnet(f"k{kernel}e{expand}d2") for kernel in (3, 7) for expand in (2, 3, 4)]
    assert len({net.key(subnet, 1) for subnet in narrow}) == 6


def test_a_left_out_block_hands_its_input_on(net: MBConvNet) -> None:
    x = torch.randn(2, 8, 4, 4, dtype=torch.float64)
    assert net.run(2, x, net.space.subnet("k3e2d1"), None) is x


def test_it_is_what_the_protocols_ask(net: MBConvNet) -> None:
    supernet: Supernet = net
    assert isinstance(net, SortsChannels) and isinstance(net, Calibrates)
    assert len(net.module_names) == len(supernet.blocks) == 8
    assert net.module_names[:3] == ("trunk", "stage1_block1", "stage1_block2")


def test_only_active_slices_get_gradients(net: MBConvNet, images: Tensor) -> None:
    net.activate(net.space.smallest)
    net(images).sum().backward()
    block = net.blocks[1]
    assert isinstance(block, MBConv)
    width = block.middle(2)
    gradient = block.depthwise.weight.grad
    assert gradient is not None
    assert gradient[:width].abs().sum() > 0 and gradient[width:].abs().sum() == 0
    assert all(parameter.grad is None for parameter in net.blocks[2].parameters())


def test_reachable_is_what_some_subnet_gives_gradient_to(net: MBConvNet, images: Tensor) -> None:
    for narrowed in (
        net.space,
        net.space.only(kernel=(7,)),
        net.space.only(kernel=(5, 7), depth=(1,)),
        net.space.only(kernel=[(7,), (3,), (5, 7)], depth=[(1,), (1, 2), (2,)]),
    ):
        net.zero_grad()
        for seed in range(12):
            net.activate(narrowed.sample(random.Random(seed)))
            net(images).square().sum().backward()
        touched = {name for name, p in net.named_parameters() if p.grad is not None}
        assert net.reachable(narrowed) == touched


def test_nothing_is_reachable_that_the_largest_alone_leaves(space: Space) -> None:
    net = build(space, 5)
    alone = space.only(kernel=(7,), expand=(4,), depth=(2,))
    left = {name for name, _ in net.named_parameters()} - net.reachable(alone)
    assert left and all("matrix" in name for name in left)


def test_dropout_is_a_keyed_mask_in_the_head(space: Space, images: Tensor) -> None:
    net = build(space, 5, dropout=0.5).double()
    head = len(net.blocks) - 1
    assert net.stochastic == {head}
    x = torch.randn(4, 24, 2, 2, dtype=torch.float64)

    def run(seed: int | None) -> Tensor:
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return net.run(head, x, space.largest, generator)

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    assert torch.equal(run(None), run(None))
    mean = torch.stack([run(seed) for seed in range(400)]).mean(0)
    spread = torch.stack([run(seed) for seed in range(400)]).std(0) / 20
    assert ((mean - run(None)).abs() < 5 * spread).all()


def test_without_dropout_nothing_is_stochastic(space: Space) -> None:
    assert build(space, 5).stochastic == frozenset()


@pytest.mark.parametrize("init", ["torch", "fan_in", "fan_out"])
def test_weights_come_from_the_seed_alone(space: Space, init: Init) -> None:
    torch.manual_seed(1)
    one = build(space, 5, seed=4, init=init).state_dict()
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), drawn)  # building left the global stream alone
    again = build(space, 5, seed=4, init=init).state_dict()
    other = build(space, 5, seed=5, init=init).state_dict()
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["blocks.1.expand.weight"], other["blocks.1.expand.weight"])


def test_the_inits_have_their_laws() -> None:
    space = load_space("laptop-32")

    def drawn(init: Init) -> tuple[Tensor, Tensor]:
        block = build(space, 10, init=init).blocks[8]
        assert isinstance(block, MBConv)
        assert block.expand.weight.shape == (256, 64, 1, 1)
        return block.expand.weight.detach(), block.depthwise.weight.detach()

    expand, depthwise = drawn("torch")
    assert float(expand.abs().max()) == pytest.approx(64**-0.5, rel=0.01)
    assert float(expand.std()) == pytest.approx((3 * 64) ** -0.5, rel=0.05)
    expand, depthwise = drawn("fan_in")
    assert float(expand.std()) == pytest.approx((2 / 64) ** 0.5, rel=0.05)
    assert float(depthwise.std()) == pytest.approx((2 / 9) ** 0.5, rel=0.1)
    expand, depthwise = drawn("fan_out")
    assert float(expand.std()) == pytest.approx((2 / 256) ** 0.5, rel=0.05)
    assert float(depthwise.std()) == pytest.approx((2 / (9 * 256)) ** 0.5, rel=0.1)


@pytest.mark.parametrize("init", ["fan_in", "fan_out"])
def test_biases_start_at_zero_but_for_torchs_own(space: Space, init: Init) -> None:
    net = build(space, 5, init=init)
    biases = [p for name, p in net.named_parameters() if name.endswith("bias")]
    assert all(not bias.any() for bias in biases)
    torchs = build(space, 5).state_dict()
    assert torchs["blocks.7.classifier.bias"].any() and torchs["blocks.3.se.reduce.bias"].any()


def test_zero_gamma_silences_blocks_that_have_a_way_around(space: Space) -> None:
    net = build(space, 5, zero_gamma=True)
    for block in net.blocks:
        if isinstance(block, Trunk | MBConv):
            silent = not block.project_norm.weight.any()
            assert silent == (block.shortcut is not None)
            assert block.depthwise_norm.weight.all()


def test_shortcuts_stand_where_shape_is_kept_or_everywhere(space: Space) -> None:
    identity = [block.shortcut is not None for _, block in build(space, 5).slots()]
    assert identity == [False, True] * 3
    everywhere = build(space, 5, shortcuts="everywhere")
    assert all(block.shortcut is not None for _, block in everywhere.slots())
    names = {name for name, _ in build(space, 5).named_parameters()}
    assert {name for name, _ in everywhere.named_parameters()} == names


@pytest.mark.parametrize("side", [7, 8])
def test_a_parameter_free_shortcut_pools_and_pads(side: int) -> None:
    x = torch.randn(2, 3, side, side)
    wide, narrow = Shortcut(5, 2)(x), Shortcut(2, 2)(x)
    assert wide.shape == (2, 5, 4, 4)
    assert torch.allclose(wide[:, :3, 0, 0], x[:, :, :2, :2].mean((2, 3)))
    assert torch.allclose(wide[:, :3, 3, 3], x[:, :, 6:, 6:].mean((2, 3)))
    assert not wide[:, 3:].any()
    assert torch.equal(narrow, wide[:, :2])


@pytest.mark.parametrize("side", [16, 15])
def test_nets_with_shortcuts_everywhere_run(space: Space, side: int) -> None:
    net = build(space, 5, shortcuts="everywhere", zero_gamma=True)
    net.activate(space.smallest)
    assert net(torch.randn(4, 3, side, side)).isfinite().all()


def test_affine_and_biases_do_not_decay_matrices_do(space: Space) -> None:
    net = build(space, 5)
    for name, parameter in net.named_parameters():
        assert decays(name) == (parameter.dim() > 1), name
    assert not decays("layers.3.bn1.weight") and decays("layers.3.conv.weight")


@pytest.mark.parametrize(
    "option", [{"init": "fan-in"}, {"shortcuts": "none"}, {"dropout": 1.0}, {"classes": 0}]
)
def test_options_that_mean_nothing_are_refused(space: Space, option: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        build(space, **{"classes": 5, **option})
    assert caught.value.hint


def test_layout_follows_the_images_unless_forced(space: Space) -> None:
    x = torch.randn(2, 3, 16, 16)
    last = torch.channels_last
    for net, images, expected in (
        (build(space, 5), x, False),
        (build(space, 5), x.contiguous(memory_format=last), True),
        (build(space, 5, channels_last=True), x, True),
    ):
        y = net.run(0, images, space.largest, None)
        assert y.is_contiguous(memory_format=last) == expected


def test_activations_in_place_change_no_bit_and_no_input() -> None:
    net = build(load_space("toy"), 10, seed=3)
    images = torch.randn(4, 3, 8, 8)
    kept = images.clone()
    with_gradient = net(images).detach()
    with torch.no_grad():
        assert torch.equal(net(images), with_gradient)
    assert torch.equal(images, kept)
    net(images).sum().backward()  # nothing that backward needs was overwritten
