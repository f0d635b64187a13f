"""Activations that overwrite what they are given, where a trial shows that nobody misses it.

Out of place they write to memory that no cache holds yet, which is a twentieth of an evaluation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ofa_bench.nets.protocol import Supernet
from ofa_bench.space import Subnet

TRIAL = 2  # images
HOME = "torch.nn.modules.activation"  # where modules whose `inplace` is known to mean it are from


class Overwriting:
    """What of a net may work in place; a block is tried when it is first met, in either mode."""

    def __init__(self, net: Supernet) -> None:
        self._net = net
        self._safe: dict[tuple[int, bool], Sequence[Any]] = {}

    @contextmanager
    def on(self, index: int, x: Tensor, subnet: Subnet, calibrated: bool) -> Iterator[None]:
        """Run the block here as it will be run on `x`; modules are put back afterwards."""
        place = (index, calibrated)
        if place not in self._safe:
            self._safe[place] = self._tried(index, x[:TRIAL].clone(), subnet)
        with _in_place(self._safe[place]):
            yield

    def _tried(self, index: int, x: Tensor, subnet: Subnet) -> Sequence[Any]:
        """The block's activations, if with them in place output and input keep every bit."""
        modules = self._net.blocks[index].modules()
        found = [each for each in modules if type(each).__module__ == HOME and _idle(each)]
        before, expected = x.clone(), self._net.run(index, x, subnet, None).clone()
        with _in_place(found):
            after = self._net.run(index, x, subnet, None)
        return found if torch.equal(after, expected) and torch.equal(x, before) else ()


def _idle(module: Any) -> bool:
    return getattr(module, "inplace", None) is False


@contextmanager
def _in_place(modules: Sequence[Any]) -> Iterator[None]:
    for module in modules:
        module.inplace = True
    try:
        yield
    finally:
        for module in modules:
            module.inplace = False
