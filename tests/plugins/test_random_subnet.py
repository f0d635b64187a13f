"""Random subnet sampling: one random net a step, labels, one cosine."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from ofa_bench import Role

from .conftest import bundle
from .shared_laws import learns_from_labels_alone


@pytest.fixture(scope="module")
def method():
    return bundle("random_subnet", "random-subnet")


def test_one_random_net_in_every_step(method, ofa_space, lay, drawn):
    """One phase on the whole space, neither end forced."""
    schedule = lay(method.shrink, ofa_space, 180, 180)
    (phase,) = schedule.phases
    assert (phase.space.count, dict(phase.passes)) == (7371**5, {Role.SAMPLED: 1})
    nets = [drawn(method.shrink, schedule.step(index)) for index in range(100)]
    assert {len(step) for step in nets} == {1}
    assert len({step[0].subnet for step in nets}) == 100
    assert len({step[0].subnet.resolution for step in nets}) > 10


def test_every_choice_is_as_likely(method, deps_space, lay, drawn):
    """Each depth a third, each ratio of an active block a third, by five standard deviations."""
    schedule = lay(method.shrink, deps_space, 300, 300)
    nets = [drawn(method.shrink, schedule.step(index))[0].subnet for index in range(3000)]
    counts = Counter()
    for net in nets:
        counts.update(("depth", stage, depth) for stage, depth in enumerate(net.depth))
        counts.update(("expand", slot, ratio) for slot, ratio in enumerate(net.expand))
    for stage in range(5):
        assert_equal_parts([counts["depth", stage, depth] for depth in (2, 3, 4)], 3000)
    for slot in range(20):
        active = 3000 - counts["expand", slot, None]
        assert_equal_parts([counts["expand", slot, ratio] for ratio in (3, 4, 6)], active)


def assert_equal_parts(counts, total):
    share = 1 / len(counts)
    assert sum(counts) == total
    for count in counts:
        assert abs(count - total * share) < 5 * math.sqrt(total * share * (1 - share))


def test_learns_from_labels_alone(method, deps_space):
    learns_from_labels_alone(method, deps_space)


def test_one_cosine(method, deps_space, lay):
    """(1 + cos πt/T) / 2 over 180 epochs."""
    schedule = lay(method.shrink, deps_space, method.epochs, method.epochs, rate=0.01)
    assert schedule.steps == 180 * 10
    for index in (0, 450, 900, 1799):
        expected = 0.01 * (1 + math.cos(math.pi * index / 1800)) / 2
        assert method.lr.lr_at(schedule.step(index)) == pytest.approx(expected)
