"""Schedules as the engine lays them out, without an engine."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from ofa_bench import Budget, Catalogue, Schedule, Space
from ofa_bench.space import load_space

Lay = Callable[..., Schedule]


@pytest.fixture(scope="session")
def lay() -> Lay:
    """lay(shrink, space, epochs, reference, images=1000, batch=100, rate=1.0, seed=0)."""

    def build(
        shrink: Any,
        space: Space,
        epochs: float,
        reference: float,
        images: int = 1000,
        batch: int = 100,
        rate: float = 1.0,
        seed: int = 0,
    ) -> Schedule:
        budget = Budget(epochs, reference)
        phases = tuple(shrink.shrink_phases(space, budget))
        return Schedule(phases, budget, images, batch, batch, rate, seed)

    return build


@pytest.fixture(scope="session")
def deps_space() -> Space:
    """The space of the DεpS paper: kernels of 7, 117^5 nets, one resolution."""
    return load_space("mobilenetv3")


@pytest.fixture(scope="session")
def ofa_space() -> Space:
    """OFA's: 7371^5 nets at each of 25 resolutions."""
    return load_space("mobilenetv3-ofa")


class Bundle(NamedTuple):
    """The three policies of a method with its presets, and its published length."""

    shrink: Any
    lr: Any
    distill: Any
    epochs: float
    presets: Any


def bundle(plugin: str, method: str) -> Bundle:
    """A method as its plugin registers it, from the plugins whose policies it takes."""
    catalogue = Catalogue()
    for name in sorted({"basics", "bignas", plugin}):
        importlib.import_module(f"ofa_bench_{name}").register(catalogue)
    about = catalogue.get("method", method).about
    policies = []
    for family in ("shrink", "lr", "distill"):
        options = about["presets"].get(family, {}).get(about[family], {})
        policies.append(catalogue.get(family, about[family]).load()(**options))
    return Bundle(*policies, about["presets"]["budget"]["reference"], about["presets"])


def no_probe(subnet: object) -> float:
    """What policies that never probe are given."""
    raise AssertionError("this policy does not probe")


@pytest.fixture(scope="session")
def drawn() -> Callable[..., Any]:
    """drawn(shrink, step): the step's draws."""
    return lambda shrink, step: shrink.shrink_draws(step, no_probe)
