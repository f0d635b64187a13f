"""Our supernets against the official once-for-all package: same weights, function, gradients.

Seeds are drawn afresh each time and printed, so that no lucky draw is ever pinned.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ofa_bench.nets.elastic import ElasticNorm
from ofa_bench.nets.extract import extract
from ofa_bench.nets.mbconv import MBConvNet, build
from ofa_bench.nets.order import apply
from ofa_bench.space import Space, Subnet, load_space
from ofa_bench.weight_files import official

pytest.importorskip("ofa")

CLASSES, PIXELS, BATCH = 10, 64, 8
SPACES = {
    "mobilenetv3-ofa": 1.0,
    "mobilenetv3-ofa-w1.2": 1.2,
    "proxylessnas-ofa": 1.0,
    "proxylessnas-ofa-w1.3": 1.3,
}


@pytest.fixture(params=list(SPACES))
def space(request: pytest.FixtureRequest) -> Space:
    return load_space(request.param)


@pytest.fixture(params=["mobilenetv3-ofa", "proxylessnas-ofa"])
def base(request: pytest.FixtureRequest) -> Space:
    """For what does not depend on the width, which the gradients and counts have at all widths."""
    return load_space(request.param)


@pytest.fixture
def seed(record_property: Callable[[str, object], None]) -> int:
    drawn = secrets.randbits(31)
    record_property("parity seeds", drawn)
    return drawn


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(min(before, 2))
    with torch.random.fork_rng(devices=[]):
        yield
    torch.set_num_threads(before)


def peer_net(space: Space, seed: int, expands: tuple[int, ...] = (3, 4, 6)) -> Any:
    """The package's network of a space, all its weights random, matrices near the identity."""
    from ofa.imagenet_classification.elastic_nn.networks import OFAMobileNetV3, OFAProxylessNASNets

    cls = OFAMobileNetV3 if space.table.head.mix else OFAProxylessNASNets
    torch.manual_seed(seed)
    peer = cls(
        n_classes=CLASSES,
        bn_param=(0.1, space.table.norm_eps),
        dropout_rate=0,
        width_mult=SPACES[space.name],
        ks_list=[3, 5, 7],
        expand_ratio_list=list(expands),
        depth_list=[2, 3, 4],
    )
    with torch.no_grad():
        for name, parameter in peer.named_parameters():
            if name.endswith("_matrix"):
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
            elif ".bn." in name:
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return peer.train()


def both(space: Space, seed: int, dtype: torch.dtype = torch.float64) -> tuple[Any, MBConvNet]:
    peer = peer_net(space, seed).to(dtype)
    net = build(space, CLASSES).to(dtype)
    official.load_state_dict(net, peer.state_dict())
    return peer, net


def activate(peer: Any, space: Space, subnet: Subnet) -> None:
    """Idle slots get any legal value; the package ignores them too."""
    peer.set_active_subnet(
        ks=[kernel or 3 for kernel in subnet.kernel],
        e=[expand or 3 for expand in subnet.expand],
        d=[space.depth_of(subnet, stage) for stage in range(len(space.blocks))],
    )


def draws(space: Space, seed: int, count: int) -> list[Subnet]:
    rng = random.Random(seed)
    return [space.largest, *(space.sample(rng) for _ in range(count))]


def images(seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed + 1)
    return torch.randn(BATCH, 3, PIXELS, PIXELS, generator=generator, dtype=dtype)


def difference(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).detach().abs().max() / theirs.detach().abs().max())


def gradients(net: nn.Module, names: dict[str, str]) -> dict[str, Tensor]:
    return {
        names[name]: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for name, parameter in net.named_parameters()
    }


def test_logits_and_every_gradient_agree_in_double_precision(space: Space, seed: int) -> None:
    peer, net = both(space, seed)
    x, labels = images(seed), torch.arange(BATCH) % CLASSES
    ours_named = {name: official.official_name(net, name) for name, _ in net.named_parameters()}
    theirs_named = {name: official.plain_name(name) for name, _ in peer.named_parameters()}
    for subnet in draws(space, seed, 2):
        activate(peer, space, subnet)
        net.activate(subnet)
        peer.zero_grad()
        net.zero_grad()
        ours, theirs = net(x), peer(x)
        assert difference(ours, theirs) < 1e-9, str(subnet)
        F.cross_entropy(ours, labels).backward()
        F.cross_entropy(theirs, labels).backward()
        mine, other = gradients(net, ours_named), gradients(peer, theirs_named)
        assert mine.keys() == other.keys()
        largest = max(float(gradient.abs().max()) for gradient in other.values())
        for name, gradient in other.items():
            assert float((mine[name] - gradient).abs().max()) < 1e-8 * largest, name


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_logits_agree_in_single_precision(
    base: Space, seed: int, layout: torch.memory_format
) -> None:
    """In one layout: torch's batch norm itself differs by more between the two."""
    peer, net = both(base, seed, torch.float32)
    peer.to(memory_format=layout)
    x = images(seed, torch.float32).contiguous(memory_format=layout)
    with torch.no_grad():
        for subnet in draws(base, seed, 3):
            activate(peer, base, subnet)
            net.activate(subnet)
            assert difference(net(x), peer(x)) < 1e-5, str(subnet)


def test_gates_are_the_same_slices(seed: int) -> None:
    space = load_space("mobilenetv3-ofa")
    peer, net = both(space, seed)
    for (_, block), other in zip(net.slots(), peer.blocks[1:], strict=True):
        if block.se is None:
            continue
        for expand in (3, 4, 6):
            middle = block.middle(expand)
            x = torch.randn(2, middle, 3, 3, dtype=torch.float64)
            assert difference(block.se(x), other.conv.depth_conv.se(x)) < 1e-12


@pytest.mark.parametrize(
    ("mode", "expands"), [("global", (3, 4, 6)), ("grouped", (4, 6)), ("grouped", (3, 4, 6))]
)
def test_channels_sort_alike(base: Space, seed: int, mode: Any, expands: tuple[int, ...]) -> None:
    peer = peer_net(base, seed, expands).double()
    net = build(base, CLASSES).double()
    official.load_state_dict(net, peer.state_dict())
    net.activate(base.largest)
    activate(peer, base, base.largest)
    x = images(seed)
    with torch.no_grad():
        before = net(x)
        apply(net, net.channel_order(mode, expands))
        peer.re_organize_middle_weights(len(expands) - 2 if mode == "grouped" else 0)
        assert difference(net(x), before) < 1e-12
    theirs = {official.plain_name(name): value for name, value in peer.named_parameters()}
    for name, value in net.named_parameters():
        assert torch.equal(value, theirs[official.official_name(net, name)]), name


def test_macs_and_parameters_are_the_same_count(space: Space, seed: int) -> None:
    from ofa.utils.pytorch_utils import count_net_flops, count_parameters

    peer, _ = both(space, seed, torch.float32)
    for subnet in draws(space, seed, 1):
        activate(peer, space, subnet)
        alone = peer.get_active_subnet(preserve_weight=False)
        assert space.params(subnet, CLASSES) == count_parameters(alone)
        # Their profiler adds up in single precision.
        counted = count_net_flops(alone, [1, 3, PIXELS, PIXELS])
        assert space.macs(subnet.at(PIXELS), CLASSES) == pytest.approx(counted, rel=1e-6)


def test_calibrated_evaluation_agrees(base: Space, seed: int) -> None:
    """Two batches calibrate both; then both judge a third, we by folded or running statistics."""
    from ofa.imagenet_classification.elastic_nn.utils import set_running_statistics

    peer, net = both(base, seed)
    subnet = base.sample(random.Random(seed))
    activate(peer, base, subnet)
    net.activate(subnet)
    batches, x = [images(seed), images(seed + 1)], images(seed + 2)
    with torch.no_grad():
        set_running_statistics(peer, [(batch, None) for batch in batches])
        expected = peer.eval()(x)
        statistics = calibrated(net, batches)
        alone = extract(net, subnet, statistics)
        for name, norm in norms(net).items():
            norm.statistics = statistics.get(name)
        assert difference(net(x), expected) < 1e-9
        assert difference(alone(x), expected) < 1e-9


def test_static_teachers_load_as_the_largest_subnet(base: Space, seed: int) -> None:
    peer = peer_net(base, seed)
    activate(peer, base, base.largest)
    teacher = peer.get_active_subnet(preserve_weight=True)
    net = build(base, CLASSES)
    official.load_state_dict(net, teacher.state_dict())
    x = images(seed)
    with torch.no_grad():
        assert difference(net.double()(x), teacher.double().train()(x)) < 1e-9


def test_the_packages_own_large_net_loads(seed: int) -> None:
    from ofa.imagenet_classification.networks import MobileNetV3Large

    torch.manual_seed(seed)
    teacher = MobileNetV3Large(
        n_classes=CLASSES, dropout_rate=0, width_mult=1.0, ks=7, expand_ratio=6, depth_param=4
    ).train()
    space = load_space("mobilenetv3")
    eps = next(m.eps for m in teacher.modules() if isinstance(m, nn.BatchNorm2d))
    net = build(Space(replace(space.table, norm_eps=eps)), CLASSES)
    official.load_state_dict(net, teacher.state_dict())
    x = images(seed)
    with torch.no_grad():
        assert difference(net.double()(x), teacher.double()(x)) < 1e-9


def norms(net: MBConvNet) -> dict[str, ElasticNorm]:
    return {n: norm for index in range(len(net.blocks)) for n, norm in net.norms(index).items()}


def calibrated(net: MBConvNet, batches: list[Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    for norm in norms(net).values():
        norm.record = []
    for batch in batches:
        net(batch)
    found = {}
    for name, norm in norms(net).items():
        if norm.record:
            means, variances = zip(*norm.record, strict=True)
            found[name] = (torch.stack(means).mean(0), torch.stack(variances).mean(0))
        norm.record = None
    return found


def test_small_kernels_as_centre_crops(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """CompOFA's net is the package's with its kernel matrices switched off."""
    from ofa.imagenet_classification.elastic_nn.modules.dynamic_op import DynamicSeparableConv2d
    from ofa.utils.pytorch_utils import count_net_flops, count_parameters

    monkeypatch.setattr(DynamicSeparableConv2d, "KERNEL_TRANSFORM_MODE", None)
    space = load_space("mobilenetv3-compofa")
    peer = peer_net(load_space("mobilenetv3-ofa"), seed).double()
    net = build(space, CLASSES).double()
    official.load_state_dict(net, peer.state_dict())
    x = images(seed)
    fixed = space.only(kernel=[(k,) for k in (3, 5, 3, 3, 5)], expand={2: (3,), 3: (4,), 4: (6,)})
    for subnet in (space.largest, fixed.largest, fixed.smallest, fixed.sample(random.Random(seed))):
        activate(peer, space, subnet)
        net.activate(subnet)
        assert difference(net(x), peer(x)) < 1e-9, str(subnet)
        alone = peer.get_active_subnet(preserve_weight=False)
        assert space.params(subnet, CLASSES) == count_parameters(alone)
        counted = count_net_flops(alone.float(), [1, 3, PIXELS, PIXELS])
        assert space.macs(subnet.at(PIXELS), CLASSES) == pytest.approx(counted, rel=1e-6)
