"""Projection of the largest net's gradient, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ofa_bench_nasvit.merge import Yielding

from ofa_bench import Draw, Role
from ofa_bench.space import load_space

ROLES = (Role.LARGEST, Role.SMALLEST, Role.SAMPLED, Role.SAMPLED)


def merged(grads, roles=ROLES):
    net = load_space("toy").smallest
    return Yielding().merge_gradients([Draw(net, role) for role in roles], torch.tensor(grads))


@pytest.fixture(scope="module")
def conflicting():
    """Four gradients of seven parameters; the largest net's is against the others' sum."""
    rng = np.random.default_rng(0)
    grads = rng.normal(size=(4, 7))
    grads[1:, 4:] = 0  # which only the largest net uses
    others = grads[1:].sum(0)
    grads[0] -= 2 * others * (grads[0] @ others > 0) * (grads[0] @ others) / (others @ others)
    assert grads[0] @ others < 0
    return grads


def test_against_numpy(conflicting):
    """b - (b·s / s·s) s + s, of b the largest net's and s the sum of the others'."""
    full, others = conflicting[0], conflicting[1:].sum(0)
    projected = full - np.dot(full, others) / np.dot(others, others) * others
    assert abs(np.dot(projected, others)) < 1e-12
    assert merged(conflicting).numpy() == pytest.approx(projected + others, rel=1e-12)


def test_the_smaller_nets_lose_nothing(conflicting):
    """Along their sum the step is their sum; what the largest net alone uses stays its gradient."""
    others, step = conflicting[1:].sum(0), merged(conflicting).numpy()
    assert np.dot(step, others) == pytest.approx(np.dot(others, others))
    assert step[4:] == pytest.approx(conflicting[0, 4:])


def test_no_conflict_no_change(conflicting):
    agreeing = conflicting.copy()
    agreeing[0] *= -1
    assert merged(agreeing).numpy() == pytest.approx(agreeing.sum(0))


@pytest.mark.parametrize("role", [Role.LARGEST, Role.SAMPLED])
def test_one_kind_alone_is_summed(conflicting, role):
    """Without a largest net, or without any other, there is nothing to project."""
    assert merged(conflicting, [role] * 4).numpy() == pytest.approx(conflicting.sum(0))


def test_silent_others():
    """Where the others' gradients are all zero the largest net's stays."""
    grads = np.zeros((4, 3))
    grads[0] = [1.0, -2.0, 0.0]
    assert merged(grads).numpy() == pytest.approx(grads[0])
