"""Subnets merged into a tree by common leading blocks; only one path's activations are in memory.

Subnets whose block keys agree up to a block share its activations: the block runs once, on the
same tensors as without sharing, so results are bit-identical.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ofa_bench.data.sources.batch import MicroBatch
from ofa_bench.evaluation.calibration import NormAccumulator, Statistics, attached, norms_of
from ofa_bench.nets.protocol import Supernet
from ofa_bench.space import Subnet


@dataclass(eq=False)
class Node:
    """A block that some subnets share. `subnet`: any of them; `ends`: positions of those that end
    here."""

    index: int
    subnet: Subnet
    branches: dict[tuple[int, Hashable], Node] = field(default_factory=dict)
    ends: list[int] = field(default_factory=list)
    tally: NormAccumulator = field(default_factory=NormAccumulator)
    statistics: Statistics = field(default_factory=dict)


class PrefixTree:
    """The subnets of a list, merged by the blocks they run; a position is an index in that list."""

    def __init__(self, net: Supernet, subnets: Sequence[Subnet]) -> None:
        self._net = net
        self._norms = [norms_of(net, index) for index in range(len(net.blocks))]
        self._roots: dict[tuple[int, Hashable], Node] = {}
        for position, subnet in enumerate(subnets):
            self._plant(position, subnet)

    def _plant(self, position: int, subnet: Subnet) -> None:
        branches, node = self._roots, None
        for index in range(len(self._net.blocks)):
            key = self._net.key(subnet, index)
            if key is not None:
                node = branches.setdefault((index, key), Node(index, subnet))
                branches = node.branches
        if node is None:
            raise ValueError(f"{subnet} runs no block")
        node.ends.append(position)

    def nodes(self) -> Iterator[Node]:
        """Every node, depth first."""
        waiting = list(reversed(self._roots.values()))
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(node.branches.values()))

    def positions(self) -> list[int]:
        """The subnets' positions in the order of the tree."""
        return [position for node in self.nodes() for position in node.ends]

    def calibrate(self, batches: Iterable[MicroBatch]) -> None:
        """Give each node the statistics that every subnet through it has; batches stay whole."""
        if self.calibrates:
            for batch in batches:
                self.observe(batch)
        self.settle()

    @property
    def calibrates(self) -> bool:
        """Whether the network has norms to calibrate."""
        return any(self._norms)

    def observe(self, batch: MicroBatch) -> None:
        """Add the statistics of one calibration batch."""
        self._walk(batch.images, self._observe)

    def settle(self) -> None:
        """Give each node the means of what was observed."""
        for node in self.nodes():
            node.statistics, node.tally = node.tally.mean(), NormAccumulator()

    def classify(self, images: Tensor, take: Callable[[int, Tensor], None]) -> None:
        """Call `take(position, logits)` for each subnet, with its calibrated statistics."""

        def run(node: Node, x: Tensor) -> Tensor:
            with attached(self._norms[node.index], node.statistics):
                y = self._net.run(node.index, x, node.subnet, None)
            for position in node.ends:
                take(position, y)
            return y

        self._walk(images, run)

    def _observe(self, node: Node, x: Tensor) -> Tensor:
        return node.tally.run(self._net, node.index, x, node.subnet, self._norms[node.index])

    @torch.inference_mode()
    def _walk(self, images: Tensor, run: Callable[[Node, Tensor], Tensor]) -> None:
        """Run every node on its parent's output, which lives until its last branch has begun."""
        waiting = [(node, images) for node in reversed(self._roots.values())]
        while waiting:
            node, x = waiting.pop()
            y = run(node, x)
            waiting.extend((branch, y) for branch in reversed(node.branches.values()))
