"""Digits, and nets of small spaces with norms that do something."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch

from ofa_bench.data.discovery.datasets import load_spec
from ofa_bench.data.open import open_source
from ofa_bench.data.sources.source import BatchSource
from ofa_bench.nets.mbconv import MBConvNet, build
from ofa_bench.space import Space, Subnet, load_space


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def digits() -> BatchSource:
    return open_source(
        load_spec("digits"),
        None,
        resolution=8,
        augment={"kind": "crop", "padding": 1},
        select=None,
        seed=3,
        device=torch.device("cpu"),
    )


@pytest.fixture(scope="session")
def toy() -> Space:
    return load_space("toy")


@pytest.fixture(scope="session")
def two_sizes(toy: Space) -> Space:
    """The toy space at three resolutions, of which candidates stand at two."""
    return Space(replace(toy.table, resolutions=(6, 7, 8), listed=(6, 8)))


@pytest.fixture(scope="session")
def lively() -> Callable[[Space], MBConvNet]:
    """Builds nets whose norms have scales and shifts, as trained ones have."""

    def make(space: Space) -> MBConvNet:
        net = build(space, 10, seed=1, init="fan_in")
        generator = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                if "norm" in name:
                    parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
        return net

    return make


@pytest.fixture(scope="session")
def some() -> Callable[[Space, int], list[Subnet]]:
    """Draws distinct nets of a space, its ends first."""

    def draw(space: Space, count: int) -> list[Subnet]:
        rng = random.Random(4)
        found = dict.fromkeys([space.largest, space.smallest])
        while len(found) < count:
            found[space.sample(rng, resolution=rng.choice(space.listed))] = None
        return list(found)

    return draw
