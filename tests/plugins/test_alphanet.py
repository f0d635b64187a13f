"""The adaptive α-divergence against closed forms, and its gradient against the definition's."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ofa_bench_alphanet.distill import Alpha, divergence

from ofa_bench import Draw, Role
from ofa_bench.losses import Losses
from ofa_bench.space import load_space

from .conftest import bundle
from .shared_laws import begins_with_identities, warms_up_then_falls_along_one_cosine

GENERATOR = torch.Generator().manual_seed(5)
TEACHER, LEARNER = (torch.randn(6, 5, generator=GENERATOR).double() * 1.5 for _ in range(2))
NO_CLIP = 1e9


@pytest.fixture(scope="module")
def method():
    return bundle("alphanet", "alphanet")


def chances(logits):
    """Softmax in numpy."""
    powers = np.exp(logits.detach().numpy() - logits.detach().numpy().max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def defined(teacher, logits, alpha):
    """The definition, differentiable: (Σ p^α q^(1-α) - 1) / (α(α - 1)), at 1 its limit."""
    p, q = teacher.softmax(1), logits.softmax(1)
    if alpha == 1:
        return (p * (p / q).log()).sum(1)
    return ((p**alpha * q ** (1 - alpha)).sum(1) - 1) / (alpha * (alpha - 1))


def loss_of(policy, logits, teacher=TEACHER, role=Role.SAMPLED):
    draw = Draw(load_space("toy").smallest, role)
    batch = SimpleNamespace(labels=torch.zeros(len(logits), dtype=torch.long))
    return policy.distill_loss(None, draw, logits, batch, {Role.LARGEST: teacher}, Losses())


def gradient_of(policy, learner=LEARNER, teacher=TEACHER):
    logits = learner.clone().requires_grad_()
    loss_of(policy, logits, teacher).backward()
    return logits.grad


def test_closed_forms():
    """At -1 half of Pearson's χ² of q against p, at 2 the other way round; at 1 KL(p ‖ q)."""
    p, q = chances(TEACHER), chances(LEARNER)
    expected = {
        -1.0: ((q**2 / p).sum(1) - 1) / 2,
        2.0: ((p**2 / q).sum(1) - 1) / 2,
        1.0: (p * np.log(p / q)).sum(1),
        0.5: 4 * (1 - np.sqrt(p * q).sum(1)),
    }
    for alpha, value in expected.items():
        ours, _ = divergence(TEACHER.log_softmax(1), LEARNER.log_softmax(1), alpha, NO_CLIP)
        assert ours.numpy() == pytest.approx(value, rel=1e-12)
        none, _ = divergence(TEACHER.log_softmax(1), TEACHER.log_softmax(1), alpha, NO_CLIP)
        assert none.numpy() == pytest.approx(0, abs=1e-12)
    options = Alpha().options
    assert (options.low, options.high) == (-1, 1)


@pytest.mark.parametrize("alpha", [-2.0, -1.0, -0.3, 0.5, 1.0, 2.0])
def test_the_gradient_is_the_definitions(alpha):
    """-1/α E_q[(p/q)^α ∇log q] is what autograd makes of the divergence itself."""
    logits = LEARNER.clone().requires_grad_()
    _, term = divergence(TEACHER.log_softmax(1), logits.log_softmax(1), alpha, NO_CLIP)
    term.sum().backward()
    again = LEARNER.clone().requires_grad_()
    defined(TEACHER, again, alpha).sum().backward()
    assert torch.allclose(logits.grad, again.grad, rtol=1e-10, atol=1e-12)


def test_each_image_takes_the_greater():
    """The mean over images of the maximum, and its gradient; both α are the greater somewhere."""
    logits = LEARNER.clone().requires_grad_()
    both = torch.stack([defined(TEACHER, logits, alpha) for alpha in (-1, 1)])
    assert set(both.argmax(0).tolist()) == {0, 1}
    greater = both.amax(0).mean()
    greater.backward()
    policy = Alpha(clip=NO_CLIP)
    assert float(loss_of(policy, LEARNER)) == pytest.approx(greater.item(), rel=1e-12)
    assert torch.allclose(gradient_of(policy), logits.grad, rtol=1e-10, atol=1e-12)


def test_a_clipped_gradient():
    """With q/p over 5 in places: (Σ_c w_c q - w) · -1/α with w = q·min((p/q)^α, 5), in numpy; the
    value likewise. At α = 1 weights are p, also where p/q is over 5."""
    p, q = chances(TEACHER), chances(LEARNER)
    low = q * np.minimum(q / p, 5)
    values = np.stack([(low.sum(1) - 1) / 2, (p * np.log(p / q)).sum(1)])
    rows = np.stack([low - q * low.sum(1, keepdims=True), q - p])
    chosen = values.argmax(0)
    assert (q / p)[chosen == 0].max() > 5
    assert (p / q)[chosen == 1].max() > 5
    expected = rows[chosen, range(len(chosen))] / len(chosen)
    assert gradient_of(Alpha()).numpy() == pytest.approx(expected)
    assert float(loss_of(Alpha(), LEARNER)) == pytest.approx(values.max(0).mean())
    assert Alpha().options.clip == 5


def test_finite_where_both_are_sure_of_different_things():
    """Logits 400 apart in float32, where q/p is beyond all numbers."""
    teacher = torch.tensor([[200.0, -200.0, 0.0]])
    logits = torch.tensor([[-200.0, 200.0, 0.0]])
    assert math.isfinite(float(loss_of(Alpha(), logits, teacher)))
    assert bool(gradient_of(Alpha(), logits, teacher).isfinite().all())


def test_labels_for_the_largest(method):
    """-log p of the label, whose gradient does not pass to a teacher; the others see no label."""
    logits = torch.tensor([[math.log(3.0), 0.0]])
    assert float(loss_of(method.distill, logits, role=Role.LARGEST)) == pytest.approx(
        math.log(4 / 3)
    )
    teacher, learner = torch.eye(2, requires_grad=True), torch.zeros(2, 2, requires_grad=True)
    loss_of(method.distill, learner, teacher).backward()
    assert teacher.grad is None
    assert bool(learner.grad.abs().sum() > 0)
    assert method.distill.labels_only == method.distill.needs == {Role.LARGEST}


def test_warm_up_then_one_cosine(method, deps_space):
    warms_up_then_falls_along_one_cosine(method, deps_space)


def test_blocks_begin_as_identities(method):
    begins_with_identities(method)
