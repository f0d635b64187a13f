"""The plain policies: shapes of rates, losses to the last digit, teachers as values."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from ofa_bench_basics.distill import Frozen, Inplace, Labels
from ofa_bench_basics.lr import Constant, Cosine, Steps
from ofa_bench_basics.shrink import Largest, Uniform
from ofa_bench_ofa.shrink import Progressive
from pydantic import ValidationError

from ofa_bench import Budget, Draw, Duration, Role, Snapshot
from ofa_bench.losses import Losses

LOGITS = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0]])
LABELS = torch.tensor([1, 0])
BATCH = SimpleNamespace(images=torch.zeros(2, 3, 4, 4), labels=LABELS)
CRITERION = Losses()


class Seen(dict):
    """Logits by role, with or without a teacher."""

    teacher = None


def loss(policy, space, role=Role.SAMPLED, seen=None, logits=LOGITS):
    draw = Draw(space.smallest, role)
    return policy.distill_loss(
        None, draw, logits, BATCH, Seen() if seen is None else seen, CRITERION
    )


def test_largest_alone(ofa_space, lay, drawn):
    schedule = lay(Largest(), ofa_space, 3, 3)
    draws = [drawn(Largest(), schedule.step(index)) for index in range(schedule.steps)]
    assert {len(step) for step in draws} == {1}
    assert {step[0].subnet.at(224) for step in draws} == {ofa_space.largest}
    assert len({step[0].subnet.resolution for step in draws}) > 5
    assert {step[0].role for step in draws} == {Role.LARGEST}


def test_nets_cut_out_of_the_largest(ofa_space, lay, drawn):
    """The same steps, and candidates from the whole space."""
    alone, cut = Largest(), Largest(cut=True)
    plain, wide = lay(alone, ofa_space, 3, 3), lay(cut, ofa_space, 3, 3)
    for index in range(plain.steps):
        assert drawn(alone, plain.step(index)) == drawn(cut, wide.step(index))
    assert wide.phases[-1].space.count == ofa_space.count
    assert plain.phases[-1].space.count == 1


def test_uniform(deps_space, lay, drawn):
    shrink = Uniform(sampled=3)
    schedule = lay(shrink, deps_space, 3, 3)
    draws = drawn(shrink, schedule.step(4))
    assert drawn(shrink, schedule.step(4)) == draws != drawn(shrink, schedule.step(5))
    assert [draw.role for draw in draws] == [Role.SAMPLED] * 3
    assert len({draw.subnet for draw in draws}) == 3
    assert dict(schedule.phases[0].passes) == {Role.SAMPLED: 3}


def test_constant(deps_space, lay):
    schedule = lay(Largest(), deps_space, 4, 4, rate=0.3)
    assert {Constant().lr_at(schedule.step(i)) for i in range(schedule.steps)} == {0.3}


@pytest.mark.parametrize("policy", [Constant, Cosine, Steps])
def test_a_warm_up_begins_at_nothing(deps_space, lay, policy):
    """The s-th of S steps has s/S of the peak, where nothing else is asked for."""
    schedule = replace(lay(Largest(), deps_space, 4, 4, rate=0.3), warmup=Duration(0.25))
    rates = [policy().lr_at(schedule.step(i)) for i in range(10)]
    assert rates == pytest.approx([0.3 * s / 10 for s in range(1, 11)])


def test_cosine(deps_space, lay):
    schedule = lay(Largest(), deps_space, 4, 4, rate=0.3)
    rates = [Cosine().lr_at(schedule.step(i)) for i in range(schedule.steps + 1)]
    assert rates[0] == 0.3
    assert rates[10] == pytest.approx(0.3 * (2 + math.sqrt(2)) / 4)
    assert rates[20] == pytest.approx(0.15)
    assert rates[-1] == pytest.approx(0)
    assert rates == sorted(rates, reverse=True)


def test_cosine_floor_is_a_share_of_the_base_rate(ofa_space, lay):
    """Where a phase's peak is low the floor stays where it is."""
    lr = Cosine(floor=0.01)
    schedule = lay(Progressive(), ofa_space, 605, 605, rate=2.0)
    assert lr.lr_at(schedule.step(schedule.edges[1] - 1)) == pytest.approx(0.02)
    assert lr.lr_at(schedule.step(schedule.edges[3] - 1)) == pytest.approx(0.02)


def test_steps(deps_space, lay):
    schedule = lay(Largest(), deps_space, 4, 4)
    rates = [Steps().lr_at(schedule.step(i)) for i in (0, 19, 20, 29, 30, 39)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    with pytest.raises(ValidationError):
        Steps(milestones=(0.75, 0.5))


def test_labels(deps_space):
    assert loss(Labels(), deps_space).item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)


def test_inplace_hard_for_the_largest(deps_space):
    """-log q of the labels: q = (3/4, 1/2)."""
    value = loss(Inplace(), deps_space, Role.LARGEST)
    assert value.item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)


@pytest.mark.parametrize("role", [Role.SMALLEST, Role.SAMPLED])
def test_inplace_soft_for_the_others(deps_space, role):
    """-Σ p log q with p = (1/4, 3/4), q uniform in row one; both uniform in row two."""
    student = torch.zeros(2, 2)
    value = loss(Inplace(), deps_space, role, Seen({Role.LARGEST: LOGITS}), student)
    assert value.item() == pytest.approx(math.log(2))
    same = loss(Inplace(), deps_space, role, Seen({Role.LARGEST: LOGITS}))
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert same.item() == pytest.approx((entropy + math.log(2)) / 2)


def test_inplace_temperature(deps_space):
    """τ = 2: logits (0, log 9) soften to (1/4, 3/4); the loss is multiplied by 4."""
    sharp = torch.tensor([[0.0, math.log(9.0)], [0.0, math.log(9.0)]])
    value = loss(
        Inplace(temperature=2.0), deps_space, seen=Seen({Role.LARGEST: sharp}), logits=sharp
    )
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert value.item() == pytest.approx(4 * entropy)


def test_inplace_gradient_reaches_the_learner_only(deps_space):
    teacher = LOGITS.clone().requires_grad_()
    student = torch.zeros(2, 2, requires_grad=True)
    loss(Inplace(), deps_space, seen=Seen({Role.LARGEST: teacher}), logits=student).backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0


def test_frozen_loss(deps_space):
    """CE + ratio·soft CE; CE alone while there is no teacher. Its targets are (1/2, 1/2)."""
    hard = (math.log(4 / 3) + math.log(2)) / 2
    assert loss(Frozen(), deps_space).item() == pytest.approx(hard)
    taught = Seen()
    taught.teacher = torch.zeros(2, 2)
    soft = ((math.log(4) + math.log(4 / 3)) / 2 + math.log(2)) / 2
    for policy, ratio in ((Frozen(), 1.0), (Frozen(ratio=0.5), 0.5)):
        value = loss(policy, deps_space, seen=taught)
        assert value.item() == pytest.approx(hard + ratio * soft)


def test_frozen_teacher_is_taken_once(ofa_space):
    """B.1.3: the full net as phase one left it, batch statistics, the same in all phases."""
    phases = Progressive().shrink_phases(ofa_space, Budget(605, 605))
    teachers = [Frozen().distill_teacher(p, phases[:i]) for i, p in enumerate(phases)]
    assert teachers[0] is None
    assert set(teachers[1:]) == {Snapshot(ofa_space.largest, at="kernel", mode="train")}
    evaluated = Frozen(mode="eval").distill_teacher(phases[1], phases[:1])
    assert evaluated == Snapshot(ofa_space.largest, at="kernel", mode="eval")


def test_needs():
    assert Inplace.needs == Inplace.labels_only == {Role.LARGEST}
    assert Frozen.needs_teacher
    assert not Labels.needs
