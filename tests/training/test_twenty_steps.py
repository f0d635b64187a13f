"""What makes steps fast changes no run beyond rounding: layout, shared prefixes.

Run freely in double precision. In single precision a rounding of one step turns a rectifier on or
off some steps later, and any two orders of summation part; there each step is compared from the
same weights.
"""

from __future__ import annotations

import pytest
import torch

from ofa_bench.nets.mbconv import build
from ofa_bench.space import load_space
from tests.training.stepping import STEPS, flat, twenty


def trained(
    *, shared: bool = True, layout: torch.memory_format = torch.channels_last
) -> torch.Tensor:
    """Parameters after the twenty."""
    *_, (_, parameters) = twenty(shared=(shared,), layout=layout)
    return parameters


@pytest.fixture(scope="module")
def usual() -> torch.Tensor:
    return trained()


def test_they_move(usual: torch.Tensor) -> None:
    net = build(load_space("toy"), 10, seed=1, dropout=0.0).double()
    start = flat(net.parameters())
    assert (usual - start).abs().max() > 0.01


def test_shared_prefixes(usual: torch.Tensor) -> None:
    assert (usual - trained(shared=False)).abs().max() <= 1e-10 * usual.abs().max()


def test_channels_last(usual: torch.Tensor) -> None:
    contiguous = trained(layout=torch.contiguous_format)
    assert (usual - contiguous).abs().max() <= 1e-10 * usual.abs().max()


def test_each_step_in_single_precision() -> None:
    steps = list(twenty(shared=(True, False), dtype=torch.float32))
    assert len(steps) == STEPS
    for (ours, naive), _ in steps:
        assert (ours - naive).abs().max() <= 1e-5 * naive.abs().max()
