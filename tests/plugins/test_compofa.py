"""Compound shrinking against CompOFA's paper and code."""

from __future__ import annotations

import itertools

import pytest
import torch
from ofa_bench_basics.lr import Cosine
from ofa_bench_compofa.shrink import Coupled, coupled, coupling

from ofa_bench import Budget, Role
from ofa_bench.nets.mbconv import build
from ofa_bench.space import load_space


def test_published_coupling():
    """A.7: depth 2 takes ratio 3, depth 3 takes 4, depth 4 takes 6."""
    assert coupling((2, 3, 4), (3, 4, 6)) == {2: (3,), 3: (4,), 4: (6,)}


def test_coupling_of_other_shapes():
    """The ends always meet."""
    assert coupling((1, 2), (2, 3, 4)) == {1: (2,), 2: (4,)}
    assert coupling((2,), (3, 4, 6)) == {2: (6,)}
    assert coupling((1, 2, 3, 4), (3, 6)) == {1: (3,), 2: (3,), 3: (6,), 4: (6,)}


def test_counts(ofa_space, deps_space):
    """A.7, A.8: 243 nets with fixed kernels, (3²+3³+3⁴)^5 = 117^5 with elastic ones."""
    assert coupled(ofa_space, (3, 5, 3, 3, 5)).count == 243
    assert coupled(ofa_space, ()).count == 117**5
    assert coupled(deps_space, (3, 5, 3, 3, 5)).count == 243


def test_kernels_where_the_space_offers_them(ofa_space, deps_space):
    fixed = coupled(ofa_space, (3, 5, 3, 3, 5))
    assert [stage.kernel for stage in fixed.options] == [(3,), (5,), (3,), (3,), (5,)]
    assert coupled(deps_space, (3, 5, 3, 3, 5)).choices("kernel") == (7,)


def test_a_fixed_depth_stays_free():
    """ProxylessNAS's last stage has one block: nothing to couple its ratio with."""
    space = coupled(load_space("proxylessnas"), (3, 5, 3, 3, 5))
    assert space.options[-1].expand == (3, 4, 6)
    assert space.largest == load_space("proxylessnas").largest
    assert space.smallest == load_space("proxylessnas").smallest


def test_fixed_kernel_macs(ofa_space):
    """A.9: all 243 cost different MACs; 124,326,864 to 446,764,320 at 224."""
    macs = sorted(ofa_space.macs(net) for net in coupled(ofa_space, (3, 5, 3, 3, 5)))
    assert len(set(macs)) == 243
    assert (macs[0], macs[121], macs[-1]) == (124_326_864, 266_673_760, 446_764_320)


def test_published_phases(ofa_space):
    phases = Coupled().shrink_phases(ofa_space, Budget(330, 330))
    assert [p.name for p in phases] == ["largest", "coupled-1", "coupled-2"]
    assert [p.epochs for p in phases] == pytest.approx([180, 25, 125])
    assert [p.peak * 2.6 for p in phases] == pytest.approx([2.6, 0.08, 0.24])
    assert [dict(p.passes) for p in phases[1:]] == [{Role.SAMPLED: 4}] * 2
    assert [p.sort for p in phases] == [None, "global", "global"]
    assert [str(p.warmup) for p in phases] == ["0", "0", "5 epochs"]
    assert [p.fresh for p in phases[1:]] == [True, True]
    assert Coupled().reference_epochs(ofa_space) == 330


def test_the_second_sort_can_be_left_out(ofa_space):
    phases = Coupled(resort=False).shrink_phases(ofa_space, Budget(330, 330))
    assert [p.sort for p in phases] == [None, "global", None]


def test_warmup_from_an_eighth(ofa_space, lay):
    """B.2: phase 2 warms up from 0.24·256/2048 = 0.03."""
    schedule = lay(Coupled(), ofa_space, 330, 330, rate=2.6)
    first = Cosine(warmup_from=1 / 8).lr_at(schedule.step(schedule.edges[2]))
    assert first == pytest.approx(0.03 + 0.21 / 50)


def test_draws_are_coupled_and_repeat(ofa_space, lay, drawn):
    schedule = lay(Coupled(), ofa_space, 330, 330)
    step = schedule.step(schedule.edges[1])
    draws = drawn(Coupled(), step)
    assert drawn(Coupled(), step) == draws
    assert len(draws) == 4
    ratio = {2: 3, 3: 4, 4: 6}
    for draw in draws:
        assert draw.subnet in step.phase.space
        for stage, slots in enumerate(ofa_space.blocks):
            depth = draw.subnet.depth[stage]
            active = draw.subnet.expand[slots[0] : slots[0] + depth]
            assert set(active) == {ratio[depth]}
    assert len({draw.subnet.resolution for draw in draws}) == 1


def test_depths_are_uniform(ofa_space, lay, drawn):
    """A.7: each depth with probability 1/3; the bound is five standard deviations."""
    schedule = lay(Coupled(), ofa_space, 330, 330)
    steps = [schedule.step(schedule.edges[1] + i) for i in range(200)]
    draws = itertools.chain.from_iterable(drawn(Coupled(), step) for step in steps)
    depths = [depth for draw in draws for depth in draw.subnet.depth]
    for depth in (2, 3, 4):
        assert abs(depths.count(depth) / len(depths) - 1 / 3) < 5 * (2 / 9 / len(depths)) ** 0.5


def test_rates_of_a_whole_published_run(ofa_space, lay):
    """B.2: 2.6, then 0.08 for 25 epochs, then 0.24 after 5 of warm-up from an eighth."""
    lr = Cosine(warmup_from=1 / 8)
    schedule = lay(Coupled(), ofa_space, 330, 330, images=1_271_167, batch=2048, rate=2.6)
    at = lambda epoch: lr.lr_at(schedule.step(round(epoch * 621)))  # noqa: E731
    assert at(0) == pytest.approx(2.6)
    assert at(90) == pytest.approx(1.3)
    assert at(180) == pytest.approx(0.08)
    assert at(192.5) == pytest.approx(0.04, rel=1e-3)
    assert at(205) == pytest.approx(0.03 + 0.21 / (5 * 621))
    assert at(210) == pytest.approx(0.24)
    assert at(270) == pytest.approx(0.12)
    assert at(330 - 1 / 621) < 1e-6


def test_the_published_net_and_its_243_subnets(lay, drawn):
    """A.7, A.9: a teacher of kernels 7, then kernels 3, 5, 3, 3, 5 by stage at 128 to 224."""
    space = load_space("mobilenetv3-compofa")
    schedule = lay(Coupled(), space, 330, 330)
    largest, *rest = schedule.phases
    assert space.macs(largest.space.largest.at(224)) == 566_170_656
    for phase in rest:
        macs = sorted(space.macs(net.at(224)) for net in phase.space.only(resolution=(224,)))
        assert len(set(macs)) == 243
        assert (macs[0], macs[121], macs[-1]) == (124_326_864, 266_673_760, 446_764_320)
        assert space.params(phase.space.largest) == 7_370_616
        assert space.params(phase.space.smallest) == 3_426_920
    steps = [schedule.step(schedule.edges[1] + number) for number in range(30)]
    draws = [draw.subnet for step in steps for draw in drawn(Coupled(), step)]
    for net in draws:
        for kernel, slots in zip((3, 5, 3, 3, 5), space.blocks, strict=True):
            assert {net.kernel[slot] for slot in slots} <= {kernel, None}
    sizes = {net.resolution for net in draws}
    assert sizes <= set(range(128, 225, 4)) and len(sizes) > 10


def test_small_kernels_are_centre_crops_there():
    """No matrices: 7,664,760 parameters, and a kernel of 3 is the middle of the 7 it lies in."""
    net = build(load_space("mobilenetv3-compofa"), 1000)
    assert sum(value.numel() for value in net.parameters()) == 7_664_760
    block = net.blocks[1].depthwise
    with torch.no_grad():
        for kernel in (3, 5):
            rim = (7 - kernel) // 2
            crop = block.weight[:48, :, rim : 7 - rim, rim : 7 - rim]
            assert torch.equal(block.cut(48, kernel), crop)


def test_the_default_space_keeps_its_kernels(deps_space, lay):
    """In DepS's space all kernels are 7, as its own compound sampling has them."""
    phases = lay(Coupled(), deps_space, 330, 330).phases
    assert all(phase.space.choices("kernel") == (7,) for phase in phases)
