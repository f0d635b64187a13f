"""A small space with everything in it: elastic kernels with matrices, gates, all activations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from ofa_bench.nets.mbconv import MBConvNet, build
from ofa_bench.space import Space, load_table

CLASSES = 5


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Nets this small only wait for each other's threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def space() -> Space:
    table = load_table("toy")
    rows = [replace(row, kernel=(3, 5, 7), expand=(2, 3, 4)) for row in table.rows]
    return Space(replace(table, name="elastic-toy", rows=tuple(rows), transforms=True))


@pytest.fixture
def net(space: Space) -> MBConvNet:
    """Fresh, in double precision, every parameter off its special starting value."""
    net = build(space, CLASSES, seed=3).double()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in net.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(noise, alpha=0.1)
    return net


@pytest.fixture
def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randn(6, 3, 16, 16, generator=generator, dtype=torch.float64)
