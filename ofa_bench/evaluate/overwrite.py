"""Activations that overwrite what they are given, where a trial shows that nobody misses it.

Out of place they write to memory that no cache holds yet, which is a twentieth of an evaluation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from ofa_bench.nets.protocol import Supernet
from ofa_bench.space import Subnet

TRIAL = 2  # images
PAYS = 4  # runs of a block in one way, before a trial is worth its time
HOME = "torch.nn.modules.activation"  # where modules whose `inplace` is known to mean it are from

Place = tuple[int, Hashable, bool]  # block, key, whether its norms are calibrated


class Overwriting:
    """What of a net may work in place; a block is tried where a key comes often, in each mode."""

    def __init__(self, net: Supernet) -> None:
        self._net = net
        self._safe: dict[Place, Sequence[Any]] = {}
        self._met: Counter[Place] = Counter()

    @contextmanager
    def on(self, index: int, x: Tensor, subnet: Subnet, calibrated: bool) -> Iterator[None]:
        """Run the block here as it will be run on `x`; modules are put back afterwards."""
        place = (index, self._net.key(subnet, index), calibrated)
        self._met[place] += 1
        if self._met[place] == PAYS:
            self._safe[place] = self._tried(index, x[:TRIAL].clone(), subnet)
        with _in_place(self._safe.get(place, ())):
            yield

    def _tried(self, index: int, x: Tensor, subnet: Subnet) -> Sequence[Any]:
        """The block's activations, if with them in place output and input keep every bit."""
        block = self._net.blocks[index]
        found = [each for each in block.modules() if type(each).__module__ == HOME and _idle(each)]
        with _watching(found, _lasting(block) | {_place(x)}) as barred:
            before, expected = x.clone(), self._net.run(index, x, subnet, None).clone()
        found = [each for each in found if each not in barred]
        try:
            with _in_place(found):
                after = self._net.run(index, x, subnet, None)
        except RuntimeError:  # what it is given has no memory of its own
            return ()
        return found if torch.equal(after, expected) and torch.equal(x, before) else ()


def _idle(module: Any) -> bool:
    return getattr(module, "inplace", None) is False


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _lasting(block: torch.nn.Module) -> set[int]:
    """Where the block's parameters, buffers and other tensors of its modules lie."""
    kept = [*block.parameters(), *block.buffers()]
    for module in block.modules():
        kept += [value for value in vars(module).values() if isinstance(value, Tensor)]
    return {_place(each) for each in kept}


@contextmanager
def _watching(modules: Sequence[Any], lasting: set[int]) -> Iterator[set[Any]]:
    """Gathers the modules that are given memory which outlives the block's run."""
    barred: set[Any] = set()

    def look(module: Any, given: tuple[Tensor, ...]) -> None:
        if _place(given[0]) in lasting:
            barred.add(module)

    with ExitStack() as handles:
        for module in modules:
            handles.enter_context(module.register_forward_pre_hook(look))
        yield barred


@contextmanager
def _in_place(modules: Sequence[Any]) -> Iterator[None]:
    for module in modules:
        module.inplace = True
    try:
        yield
    finally:
        for module in modules:
            module.inplace = False
