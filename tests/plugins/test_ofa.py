"""Progressive shrinking against OFA's published schedule (methods: train_ofa_net.py)."""

from __future__ import annotations

import math
import random

import pytest
from ofa_bench_basics.lr import Cosine
from ofa_bench_ofa.shrink import Progressive
from pydantic import ValidationError

from ofa_bench import Budget, Role
from ofa_bench.space import load_space

PUBLISHED = [  # name, epochs, total rate at batch 2,048, nets a step, warm-up, sort, nets
    ("largest", 180, 2.6, 1, 0, None, 1),
    ("kernel", 125, 0.96, 1, 5, None, 3**20),
    ("depth-1", 25, 0.08, 2, 0, None, (3**3 + 3**4) ** 5),
    ("depth-2", 125, 0.24, 2, 5, None, (3**2 + 3**3 + 3**4) ** 5),
    ("expand-1", 25, 0.08, 4, 0, "global", (6**2 + 6**3 + 6**4) ** 5),
    ("expand-2", 125, 0.24, 4, 5, "grouped", 7371**5),
]


def test_published_phases(ofa_space):
    phases = Progressive().shrink_phases(ofa_space, Budget(605, 605))
    for phase, published in zip(phases, PUBLISHED, strict=True):
        name, epochs, rate, nets, warmup, sort, count = published
        assert (phase.name, phase.sort, phase.space.count) == (name, sort, count)
        assert phase.epochs == pytest.approx(epochs)
        assert phase.peak * 2.6 == pytest.approx(rate)
        assert sum(phase.passes.values()) == nets
        assert (phase.warmup.amount, phase.warmup.unit) in {(warmup, "epochs"), (0, "run")}
    assert [phase.fresh for phase in phases[1:]] == [True] * 5


@pytest.mark.parametrize(
    ("space", "epochs"),
    [
        ("mobilenetv3-ofa", 605),
        ("mobilenetv3", 480),
        ("proxylessnas-ofa", 605),
        ("laptop-32", 455),
    ],
)
def test_total_epochs(space, epochs):
    assert Progressive().reference_epochs(load_space(space)) == epochs


def test_no_phase_for_a_fixed_axis(deps_space):
    names = [phase.name for phase in Progressive().shrink_phases(deps_space, Budget(480, 480))]
    assert names == ["largest", "depth-1", "depth-2", "expand-1", "expand-2"]


def test_phases_scale_with_the_budget(ofa_space):
    phases = Progressive().shrink_phases(ofa_space, Budget(6.05, 605))
    assert [p.epochs for p in phases] == pytest.approx([p[1] / 100 for p in PUBLISHED])


def test_the_largest_phase_is_closed(ofa_space, lay, drawn):
    """Kernel matrices are out of reach until the kernel phase (methods F.7)."""
    schedule = lay(Progressive(), ofa_space, 605, 605)
    assert schedule.phases[0].space.choices("kernel") == (7,)
    (draw,) = drawn(Progressive(), schedule.step(0))
    assert draw.role is Role.LARGEST
    assert draw.subnet.at(224) == ofa_space.largest


def test_rates_at_the_ends_of_phases(ofa_space, lay):
    """Warm-up from 1/32 of the peak, counted from step 1, then a cosine of its own."""
    lr = Cosine(warmup_from=1 / 32)
    schedule = lay(Progressive(), ofa_space, 605, 605, rate=2.6)
    start, stop = schedule.edges[1], schedule.edges[2]
    warmup = 5 * schedule.steps_per_epoch
    first = 0.03 + (0.96 - 0.03) / warmup
    assert lr.lr_at(schedule.step(start)) == pytest.approx(first)
    assert lr.lr_at(schedule.step(start + warmup - 1)) == pytest.approx(0.96)
    assert lr.lr_at(schedule.step(start + warmup)) == pytest.approx(0.96)
    middle = start + warmup + 60 * schedule.steps_per_epoch
    assert lr.lr_at(schedule.step(middle)) == pytest.approx(0.48)
    assert lr.lr_at(schedule.step(stop - 1)) < 1e-4
    assert lr.lr_at(schedule.step(stop)) == pytest.approx(0.08)


def test_rates_and_draws_of_a_whole_published_run(ofa_space, lay, drawn):
    """605 epochs at 2,048 images: each phase's first steps, middle and end, and its nets a step."""
    lr = Cosine(warmup_from=1 / 32)
    schedule = lay(Progressive(), ofa_space, 605, 605, images=1_271_167, batch=2048, rate=2.6)
    epoch, begin = 621, 0
    for _, epochs, rate, nets, warmup, _, _ in PUBLISHED:
        at = lambda e, begin=begin: lr.lr_at(schedule.step(round((begin + e) * epoch)))  # noqa: E731
        if warmup:
            low, steps = rate / 32, warmup * epoch
            assert at(0) == pytest.approx(low + (rate - low) / steps)
            assert at(2.5) == pytest.approx(
                low + (rate - low) * (0.5 * steps + 1) / steps, rel=1e-3
            )
        assert at(warmup) == pytest.approx(rate, rel=1e-5)
        half = warmup + (epochs - warmup) / 2
        assert at(half) == pytest.approx(rate / 2, rel=1e-2)
        assert at(epochs - 1 / epoch) < 1e-6 * rate
        assert len(drawn(Progressive(), schedule.step(round((begin + half) * epoch)))) == nets
        begin += epochs
    assert schedule.steps == begin * epoch


def test_one_resolution_a_step(ofa_space, lay, drawn):
    schedule = lay(Progressive(), ofa_space, 605, 605)
    steps = [schedule.step(schedule.edges[-2] + i) for i in range(60)]
    sizes = [{d.subnet.resolution for d in drawn(Progressive(), step)} for step in steps]
    assert all(len(size) == 1 for size in sizes)
    seen = set().union(*sizes)
    assert len(seen) > 15
    assert all(128 <= size <= 224 and size % 4 == 0 for size in seen)


def test_draws_repeat_and_differ(ofa_space, lay, drawn):
    one, other = (lay(Progressive(), ofa_space, 605, 605, seed=seed) for seed in (0, 1))
    index = one.edges[-2]
    draws = drawn(Progressive(), one.step(index))
    assert drawn(Progressive(), one.step(index)) == draws
    assert len({draw.subnet for draw in draws}) == 4
    assert drawn(Progressive(), one.step(index + 1)) != draws
    assert drawn(Progressive(), other.step(index)) != draws


def test_draws_stay_in_their_phase(ofa_space, lay, drawn):
    shrink = Progressive()
    schedule = lay(shrink, ofa_space, 605, 605)
    for edge in schedule.edges[:-1]:
        step = schedule.step(edge)
        draws = drawn(shrink, step)
        assert all(draw.subnet in step.phase.space for draw in draws)
        assert {draw.role: 0 for draw in draws}.keys() == step.phase.passes.keys()
        assert len(draws) == sum(step.phase.passes.values())


def test_reference_draws(ofa_space, lay, drawn):
    """Seeded by the phase's own step, draw and 000; the size by the batch."""
    shrink = Progressive(draws="reference")
    schedule = lay(shrink, ofa_space, 605, 605)
    step = schedule.step(schedule.edges[-2] + 7)
    for number, draw in enumerate(drawn(shrink, step)):
        peer = random.Random(int("%d%.3d%.3d" % (step.segment_step, number, 0)))  # noqa: UP031
        kernel = [peer.choice([3, 5, 7]) for _ in range(20)]
        expand = [peer.choice([3, 4, 6]) for _ in range(20)]
        depth = [peer.choice([2, 3, 4]) for _ in range(5)]
        wanted = {"kernel": kernel, "expand": expand, "depth": depth}
        assert draw.subnet.at(224) == ofa_space.subnet(wanted)
        epoch, batch = divmod(step.segment_step, schedule.steps_per_epoch)
        sizes = random.Random(int("%d%.3d" % (batch, epoch)))  # noqa: UP031
        assert draw.subnet.resolution == sizes.choices(range(128, 225, 4))[0]


def test_odd_schedules_are_refused():
    with pytest.raises(ValidationError):
        Progressive(long="0.5")
    with pytest.raises(ValidationError):
        Progressive(draws="reference", measure="archs")
    with pytest.raises(ValidationError):
        Progressive(long_peak=math.nan)
