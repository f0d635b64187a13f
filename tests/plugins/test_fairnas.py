"""Strict fairness, counted: what is dealt out in a step, block by block."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from ofa_bench_fairnas.shrink import Fair, nets_a_step

from ofa_bench import Role
from ofa_bench.space import load_space

from .conftest import bundle
from .shared_laws import learns_from_labels_alone


@pytest.fixture(scope="module")
def method():
    return bundle("fairnas", "fairnas")


def test_each_choice_exactly_once_a_step(ofa_space, lay, drawn):
    """Kernels 3, 5, 7 and ratios 3, 4, 6 in all 20 blocks, depth fixed as in the paper: three nets,
    and in each of 1,000 steps every choice of every block in exactly one of them."""
    schedule = lay(Fair(), ofa_space.only(depth=(4,)), 100, 100)
    assert dict(schedule.phases[0].passes) == {Role.SAMPLED: 3}
    for index in range(1000):
        nets = [draw.subnet for draw in drawn(Fair(), schedule.step(index))]
        for slot in range(20):
            assert sorted(net.kernel[slot] for net in nets) == [3, 5, 7]
            assert sorted(net.expand[slot] for net in nets) == [3, 4, 6]
        assert len({net.resolution for net in nets}) == 1


@pytest.mark.parametrize(
    ("name", "count"), [("mobilenetv3-ofa", 9), ("mobilenetv3", 9), ("toy", 4)]
)
def test_each_choice_once_for_every_depth(name, count, lay, drawn):
    """All depths of a stage equally often, and among the nets of one depth all choices of each
    block that they have."""
    space = load_space(name)
    assert nets_a_step(space) == count
    schedule = lay(Fair(), space, 100, 100)
    for index in range(100):
        nets = [draw.subnet for draw in drawn(Fair(), schedule.step(index))]
        assert all(net in space for net in nets)
        for stage, (options, slots) in enumerate(zip(space.options, space.blocks, strict=True)):
            for depth in options.depth:
                deep = [net for net in nets if net.depth[stage] == depth]
                assert len(deep) == count // len(options.depth)
                for slot in slots[:depth]:
                    for axis in ("kernel", "expand"):
                        choices = getattr(options, axis)
                        times = Counter(getattr(net, axis)[slot] for net in deep)
                        assert set(times) == set(choices)
                        assert set(times.values()) == {len(deep) // len(choices)}


def test_blocks_are_dealt_independently(ofa_space, lay, drawn):
    """In 3,000 nets each of nine pairs of two blocks' choices is a ninth, by five standard
    deviations: neighbours of one stage, of two stages, and a block's kernel and ratio."""
    schedule = lay(Fair(), ofa_space.only(depth=(4,)), 100, 100)
    nets = [d.subnet for i in range(1000) for d in drawn(Fair(), schedule.step(i))]
    bound = 5 * math.sqrt(3000 * 1 / 9 * 8 / 9)
    for pairs in (
        Counter((net.expand[0], net.expand[1]) for net in nets),
        Counter((net.kernel[3], net.kernel[4]) for net in nets),
        Counter((net.kernel[7], net.expand[7]) for net in nets),
    ):
        assert len(pairs) == 9
        assert all(abs(count - 3000 / 9) < bound for count in pairs.values())


def test_a_coupled_space(lay, drawn):
    """Where ratios hang on the depth, those of the depth are dealt out."""
    space = load_space("toy").only(expand={1: (2,), 2: (2, 3)})
    nets = [d.subnet for d in drawn(Fair(), lay(Fair(), space, 1, 1).step(0))]
    assert len(nets) == 4
    assert all(net in space for net in nets)


def test_learns_from_labels_alone(method, deps_space):
    learns_from_labels_alone(method, deps_space)


def test_one_cosine(method, deps_space, lay):
    """(1 + cos πt/T) / 2 over 150 epochs."""
    schedule = lay(method.shrink, deps_space, method.epochs, method.epochs, rate=0.045)
    assert schedule.steps == 150 * 10
    for index in (0, 500, 1499):
        expected = 0.045 * (1 + math.cos(math.pi * index / 1500)) / 2
        assert method.lr.lr_at(schedule.step(index)) == pytest.approx(expected)
