"""How far single precision parts equal mathematics: what any comparison of weights must allow for.
Part of `tox -e bench-full`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from tests.training.stepping import twenty

from .timing import FULL, Line, Table

pytestmark = pytest.mark.skipif(not FULL, reason="only in bench-full: set OFA_BENCH_FULL=1")
SEEDS = range(5)
WAYS: dict[str, dict[str, Any]] = {
    "shared prefixes": {"shared": (True,)},
    "separate passes, draws in another order": {"backwards": True},
    "separate passes, start moved by a rounding": {"moved": 2**-24},
}


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Nets of this size train on one, and repeat to the bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["toy", "laptop-8"])
def test_rounding(name: str, one_thread: None, table: Table) -> None:
    apart: dict[str, dict[int, list[float]]] = {way: {5: [], 20: []} for way in WAYS}
    for seed in SEEDS:
        common: dict[str, Any] = {"name": name, "seed": seed, "dtype": torch.float32}
        separate = [found for _, found in twenty(shared=(False,), **common)]
        for way, change in WAYS.items():
            others = [found for _, found in twenty(**{"shared": (False,), **common, **change})]
            for count, found in apart[way].items():
                one, other = separate[count - 1].double(), others[count - 1].double()
                found.append(float((one - other).abs().max() / one.abs().max()) * 1e6)
    for way, by_count in apart.items():
        for count, millionths in by_count.items():
            what = f"{way}, {name}, {count} steps (millionths of the largest weight)"
            table.add(Line(what, "separate passes", millionths, "–"))
