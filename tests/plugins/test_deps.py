"""Delayed ε-shrinking against the paper's equation 4 and the README recipe of its repository.

Golden values: batch 2,048 of 1,281,167 images is 626 steps an epoch; 270 epochs at 2.6; shrinking
from epoch 145, ramp of 5.
"""

from __future__ import annotations

import random

import pytest
import torch
from ofa_bench_basics.shrink import Uniform
from ofa_bench_bignas.shrink import Sandwich
from ofa_bench_compofa.shrink import Coupled
from ofa_bench_deps.lr import Ramped
from ofa_bench_deps.merge import Average, RootAverage
from ofa_bench_deps.shrink import Delayed
from ofa_bench_ofa.shrink import Progressive

from ofa_bench import Draw, Role
from ofa_bench.recipe.models import Optim
from ofa_bench.space import load_space

N = 626
SWITCH, FULL = 145 * N, 150 * N


@pytest.fixture(scope="module")
def readme(deps_space, lay):
    return lay(Delayed(), deps_space, 270, 270, images=1_281_167, batch=2048, rate=2.6)


@pytest.fixture
def roles(deps_space):
    net = deps_space.smallest
    return {role: Draw(net, role) for role in (Role.LARGEST, Role.SMALLEST, Role.SAMPLED)}


def test_phases(readme):
    warm, joint = readme.phases
    assert readme.steps_per_epoch == N
    assert readme.edges == (0, SWITCH, 270 * N)
    assert (warm.name, dict(warm.passes)) == ("warm", {Role.LARGEST: 1})
    assert dict(joint.passes) == {Role.LARGEST: 1, Role.SMALLEST: 1, Role.SAMPLED: 2}
    assert (joint.fresh, joint.sort, joint.peak) == (False, "grouped", 1.0)
    assert (warm.space.count, joint.space.count) == (1, 117**5)


def test_rate_of_the_largest_net(readme):
    """A plain cosine over the whole run, not under 2.5e-3."""
    lr = Ramped()
    assert lr.lr_at(readme.step(0)) == 2.6
    assert lr.lr_at(readme.step(SWITCH)) == pytest.approx(1.1491, abs=5e-5)
    assert lr.lr_at(readme.step(FULL)) == pytest.approx(1.0743, abs=5e-5)
    assert lr.lr_at(readme.step(270 * N - 1)) == pytest.approx(2.5e-3)
    assert lr.lr_at(readme.step(264 * N)) > 2.5e-3
    assert lr.lr_at(readme.step(265 * N)) == pytest.approx(2.5e-3)


def test_epsilon(readme, roles):
    """2.945e-4 at the first joint step, 0.98613 at the ramp's last, then 1; largest always 1."""
    lr = Ramped()
    for role in (Role.SMALLEST, Role.SAMPLED):
        share = lambda index, role=role: lr.lr_share(readme.step(index), roles[role])  # noqa: E731
        assert share(SWITCH) == pytest.approx(2.945e-4, abs=5e-8)
        assert share(FULL - 1) == pytest.approx(0.98613, abs=5e-6)
        assert share(FULL) == share(270 * N - 1) == 1.0
    for index in (0, SWITCH - 1, SWITCH, FULL - 1, FULL):
        assert lr.lr_share(readme.step(index), roles[Role.LARGEST]) == 1.0


def test_effective_rate_is_linear_then_jumps(readme, roles):
    """F.6, W3: ε·η grows by equal amounts to lr(151), then steps up by 1.0140 to lr(150)."""
    lr = Ramped()

    def effective(index):
        step = readme.step(index)
        return lr.lr_share(step, roles[Role.SAMPLED]) * lr.lr_at(step)

    target = lr.lr_at(readme.step(151 * N))
    for s in (1, 2, 1000, 3130):
        assert effective(SWITCH + s - 1) == pytest.approx(s / 3130 * target)
    assert effective(FULL) / effective(FULL - 1) == pytest.approx(1.0140, abs=5e-5)


@pytest.mark.parametrize("scale", [0.1, 10 / 270])
def test_ramp_scales_with_the_run(deps_space, lay, roles, scale):
    lr = Ramped()
    schedule = lay(Delayed(), deps_space, 270 * scale, 270, images=100_000, batch=100, rate=2.6)
    switch, length = schedule.edges[1], schedule.step(0).steps(lr.options.ramp)
    last = schedule.step(switch + length - 1)
    assert lr.lr_share(last, roles[Role.SAMPLED]) == pytest.approx(0.98613, abs=1e-3)
    assert lr.lr_share(schedule.step(switch + length), roles[Role.SAMPLED]) == 1.0


def test_additive_law(readme, roles):
    """Paper: ε from 1e-4 by a constant amount to 1, then 1."""
    lr = Ramped(law="additive")
    share = lambda index: lr.lr_share(readme.step(index), roles[Role.SMALLEST])  # noqa: E731
    assert share(SWITCH) == pytest.approx(1e-4)
    steps = [share(SWITCH + s + 1) - share(SWITCH + s) for s in (0, 1500, 3129)]
    assert steps == pytest.approx([(1 - 1e-4) / 3130] * 3)
    assert share(FULL) == share(FULL + 1) == 1.0


def test_multipliers(readme, roles):
    """W3: multipliers act in the ramp and after it, on the largest net in joint steps only."""
    plain = Ramped()
    lr = Ramped(largest_share=0.5, smallest_share=2.0, sampled_share=3.0)
    for index in (SWITCH, FULL):
        step = readme.step(index)
        ramp = plain.lr_share(step, roles[Role.SAMPLED])
        assert lr.lr_share(step, roles[Role.LARGEST]) == 0.5
        assert lr.lr_share(step, roles[Role.SMALLEST]) == pytest.approx(2 * ramp)
        assert lr.lr_share(step, roles[Role.SAMPLED]) == pytest.approx(3 * ramp)
    assert lr.lr_share(readme.step(SWITCH - 1), roles[Role.LARGEST]) == 1.0


def test_ahead_zero_has_no_jump(readme, roles):
    lr = Ramped(ahead="0 epochs")
    share = lr.lr_share(readme.step(FULL - 1), roles[Role.SAMPLED])
    assert share == pytest.approx(1.0, abs=1e-4)


def test_no_ramp(readme, roles):
    """Without ε-shrinking the switch is abrupt."""
    lr = Ramped(ramp="0")
    assert lr.lr_share(readme.step(SWITCH), roles[Role.SAMPLED]) == 1.0


def test_a_late_target_stays_in_the_run(deps_space, lay, roles):
    """A ramp to the very end aims at the end's rate, 0, and stays finite."""
    shrink = Delayed(start="265/270")
    schedule = lay(shrink, deps_space, 270, 270)
    share = Ramped().lr_share(schedule.step(schedule.edges[1]), roles[Role.SAMPLED])
    assert share == 0.0


def test_ramp_before_or_after_the_switch(deps_space, lay):
    """B.4.3.2: the code ramps before epoch 150; the paper's reading begins there."""
    after = lay(Delayed(start="150/270"), deps_space, 270, 270)
    assert after.edges[1] == 150 * after.steps_per_epoch
    percent = lay(Delayed(start=0.5), deps_space, 270, 270)
    assert percent.edges[1] == 135 * percent.steps_per_epoch


def test_start_at_the_ends(deps_space, lay):
    assert [p.name for p in lay(Delayed(start=0), deps_space, 270, 270).phases] == ["joint"]
    assert [p.name for p in lay(Delayed(start=1.0), deps_space, 270, 270).phases] == ["warm"]


def test_draws(readme, drawn, deps_space):
    shrink = Delayed()
    (alone,) = drawn(shrink, readme.step(SWITCH - 1))
    assert (alone.subnet, alone.role, alone.regularized) == (
        deps_space.largest,
        Role.LARGEST,
        True,
    )
    draws = drawn(shrink, readme.step(SWITCH))
    assert drawn(shrink, readme.step(SWITCH)) == draws
    assert [d.role for d in draws] == [Role.LARGEST, Role.SMALLEST, Role.SAMPLED, Role.SAMPLED]
    assert [d.subnet for d in draws[:2]] == [deps_space.largest, deps_space.smallest]
    assert [d.regularized for d in draws] == [True, False, False, False]
    assert drawn(shrink, readme.step(SWITCH + 1))[2:] != draws[2:]


def test_one_resolution_a_step(ofa_space, lay, drawn):
    schedule = lay(Delayed(), ofa_space, 270, 270)
    steps = [schedule.edges[1] + i for i in range(20)]
    sizes = [{d.subnet.resolution for d in drawn(Delayed(), schedule.step(i))} for i in steps]
    assert all(len(size) == 1 for size in sizes)
    assert len(set().union(*sizes)) > 5
    assert schedule.phases[0].space.choices("kernel") == (7,)


def test_as_the_paper_draws(deps_space, lay, drawn):
    """Equation 4: k - 1 random nets, none forced."""
    shrink = Delayed(smallest=False, sampled=3, exclude_largest=True)
    schedule = lay(shrink, deps_space, 270, 270)
    draws = drawn(shrink, schedule.step(schedule.edges[1]))
    assert [d.role for d in draws] == [Role.LARGEST, *[Role.SAMPLED] * 3]


def test_exclude_largest(lay, drawn):
    """In a space of two nets the exclusion shows: only the other one is ever drawn."""
    space = load_space("toy").only(expand=(3,), depth=[(2,), (2,), (1, 2)])
    for exclude, seen in ((True, 1), (False, 2)):
        shrink = Delayed(exclude_largest=exclude)
        schedule = lay(shrink, space, 270, 270)
        steps = range(schedule.edges[1], schedule.edges[1] + 20)
        nets = {d.subnet for i in steps for d in drawn(shrink, schedule.step(i))[2:]}
        assert len(nets) == seen
        assert (space.largest in nets) is not exclude


@pytest.mark.parametrize("measure", ["dims", "archs"])
@pytest.mark.parametrize("shrink", [Delayed, Progressive, Coupled, Sandwich, Uniform])
def test_measure(deps_space, lay, drawn, shrink, measure):
    """By dimension, as the peers draw, unless distinct nets are asked for."""
    policy = shrink(measure=measure)
    schedule = lay(policy, deps_space, 605, 605)
    step = schedule.step(schedule.edges[-2])
    last = len(drawn(policy, step)) - 1
    assert drawn(policy, step)[last].subnet == step.phase.space.sample(
        step.draw_rng(last), measure, resolution=224 if shrink not in (Sandwich, Uniform) else None
    )
    assert shrink().options.measure == "dims"


def test_momentum_follows_its_channels_by_default():
    assert Optim().reference_momentum is False


def test_sort_is_an_option(deps_space, lay):
    assert lay(Delayed(sort="none"), deps_space, 270, 270).phases[1].sort is None
    assert lay(Delayed(sort="global"), deps_space, 270, 270).phases[1].sort == "global"


def test_reference_draws(deps_space, lay, drawn):
    shrink = Delayed(draws="reference")
    schedule = lay(shrink, deps_space, 270, 270)
    step = schedule.step(schedule.edges[1] + 5)
    for number, draw in enumerate(drawn(shrink, step)[2:], 2):
        peer = random.Random(int("%d%.3d%.3d" % (step.index, number, 0)))  # noqa: UP031
        kernel = [peer.choice([7]) for _ in range(20)]
        expand = [peer.choice([3, 4, 6]) for _ in range(20)]
        depth = [peer.choice([2, 3, 4]) for _ in range(5)]
        wanted = {"kernel": kernel, "expand": expand, "depth": depth}
        assert draw.subnet == deps_space.subnet(wanted)


GRADS = torch.tensor([[1.0, 2.0, 3.0, 0.0], [0.25, 0.5, 0.0, 0.0]])
ACTIVE = torch.tensor([[True, True, True, False], [True, True, False, False]])


def test_merge_avg():
    """Σ share·g / Σ share where active: shares 1 and 0.25, both applied to the gradients."""
    merged = Average().merge_gradients(GRADS, ACTIVE, [1.0, 0.25])
    assert torch.allclose(merged, torch.tensor([1.0, 2.0, 3.0, 0.0]))


def test_merge_avg_sqrt():
    merged = RootAverage().merge_gradients(GRADS, ACTIVE, [1.0, 0.25])
    root = 1.25**0.5
    assert torch.allclose(merged, torch.tensor([1.25 / root, 2.5 / root, 3.0, 0.0]))


def test_merge_alone_changes_nothing():
    """In the warm phase the largest net's gradient passes through both."""
    for merge in (Average(), RootAverage()):
        merged = merge.merge_gradients(GRADS[:1], ACTIVE[:1], [1.0])
        assert torch.equal(merged, GRADS[0])


def test_options_read_back_exactly():
    """A resume lays out the phases from what the record stores."""
    stored = Delayed().options.model_dump(mode="json")
    assert Delayed(**stored).options == Delayed().options
    stored = Ramped().options.model_dump(mode="json")
    assert Ramped(**stored).options == Ramped().options
