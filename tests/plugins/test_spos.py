"""Single path one-shot: one path a step, all architectures equally likely, a straight fall."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from ofa_bench import Role
from ofa_bench.space import load_space

from .conftest import bundle
from .shared_laws import learns_from_labels_alone


@pytest.fixture(scope="module")
def method():
    return bundle("spos", "spos")


def test_one_path_in_every_step(method, ofa_space, lay, drawn):
    """One phase on the whole space, one net a step, never the same twice running."""
    schedule = lay(method.shrink, ofa_space, 120, 120)
    (phase,) = schedule.phases
    assert (phase.space.count, dict(phase.passes)) == (7371**5, {Role.SAMPLED: 1})
    nets = [drawn(method.shrink, schedule.step(index)) for index in range(100)]
    assert {len(step) for step in nets} == {1}
    assert len({step[0].subnet for step in nets}) == 100


def test_every_architecture_is_as_likely(method, lay, drawn):
    """χ² of 216 nets in 10,800 draws: 215 ± 21 where all are equally likely. Drawn by dimension it
    would be over 4,000, since a shallow stage has 2 of 6 forms and half of the draws."""
    space = load_space("toy")
    schedule = lay(method.shrink, space, 1080, 1080)
    nets = Counter(drawn(method.shrink, schedule.step(index))[0].subnet for index in range(10_800))
    assert len(nets) == 216
    assert sum((count - 50) ** 2 / 50 for count in nets.values()) < 215 + 5 * 21


def test_learns_from_labels_alone(method, deps_space):
    learns_from_labels_alone(method, deps_space)


def test_a_straight_fall(method, deps_space, lay):
    """0.5·(1 - t/T) over 120 epochs: the last step has one part in T left, none has nothing."""
    schedule = lay(method.shrink, deps_space, method.epochs, method.epochs, rate=0.5)
    assert schedule.steps == 120 * 10
    rates = [method.lr.lr_at(schedule.step(index)) for index in range(1200)]
    assert rates[0] == 0.5
    assert rates[300] == pytest.approx(0.375)
    assert rates[-1] == pytest.approx(0.5 / 1200)
    falls = {round(before - after, 12) for before, after in pairwise(rates)}
    assert falls == {round(0.5 / 1200, 12)}
    assert method.lr.options.warmup_from == 0
