"""Forward and backward of a step's draws on one micro-batch, along the tree of shared blocks.

Draws whose block keys agree up to a block have equal activations there, so the block runs once,
forward and backward: the sum of gradients is the same, to rounding, as of separate passes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ofa_bench import seeding
from ofa_bench.data.sources.batch import MicroBatch
from ofa_bench.draws import Draw, Role
from ofa_bench.hooks.bus import Bus
from ofa_bench.hooks.hookspecs import Criterion
from ofa_bench.losses import full_precision
from ofa_bench.nets.protocol import Supernet
from ofa_bench.schedule import Step
from ofa_bench.training.cuda.graphs import Blocks


class SeenLogits:
    """The logits a distillation policy can read: detached float32, of this micro-batch."""

    def __init__(self, teach: Callable[[int], Tensor] | None) -> None:
        self._teach = teach
        self._by_role: dict[Role, Tensor] = {}
        self.taught: dict[int, Tensor] = {}  # the teacher's, by the resolutions at which it ran
        self.resolution = 0

    @property
    def teacher(self) -> Tensor | None:
        """The frozen teacher's logits [n, classes] at the current draw's resolution, computed once
        per resolution; None without a teacher."""
        if self._teach is None:
            return None
        if self.resolution not in self.taught:
            self.taught[self.resolution] = self._teach(self.resolution)
        return self.taught[self.resolution]

    def add(self, role: Role, logits: Tensor) -> None:
        """Keep the latest logits of a role."""
        self._by_role[role] = logits.detach()

    def __getitem__(self, role: Role) -> Tensor:
        return self._by_role[role]


@dataclass
class Passes:
    """One step's draws, to run on its micro-batches; `losses`: per draw, summed over those."""

    net: Supernet
    bus: Bus
    criterion: Criterion
    step: Step
    draws: Sequence[Draw]
    shares: Sequence[float]
    blocks: Blocks | None = None
    teach: Callable[[MicroBatch], Callable[[int], Tensor]] | None = None
    scale: Callable[[Tensor], Tensor] = lambda loss: loss
    stop: Callable[[], bool] = lambda: False
    shared: bool = True
    losses: list[Tensor] = field(default_factory=list)
    taught: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._blocks = self.blocks or Blocks(self.net)

    def run(
        self, batch: MicroBatch, number: int, weight: float, before: Callable[[int], None]
    ) -> None:
        """Add a micro-batch's gradient, weighted by its share of the step's samples.

        `before(draw)` is called before each draw, if draws do not share blocks.
        """
        self.losses = self.losses or [batch.images.new_zeros(()) for _ in self.draws]
        self._batch, self._weight = batch, weight
        self._seen = SeenLogits(self.teach(batch) if self.teach else None)
        self._generators = [
            self._noise(draw, index, number) for index, draw in enumerate(self.draws)
        ]
        indices = list(range(len(self.draws)))
        groups = self._groups(0, indices) if self.shared else [[index] for index in indices]
        for group in groups:
            if self.stop():
                return
            before(group[0])
            self._descend(batch.at(self.draws[group[0]].subnet.resolution).images, 0, group)
        self.taught.update(self._seen.taught)

    def _noise(self, draw: Draw, index: int, number: int) -> torch.Generator | None:
        """The dropout generator of a draw, seeded by (seed, step, draw, micro-batch)."""
        if not draw.regularized or not self.net.stochastic:
            return None
        generator = torch.Generator(self._batch.images.device)
        return generator.manual_seed(
            seeding.key("dropout", self.step.seed, self.step.index, index, number)
        )

    def _groups(self, block: int, members: list[int]) -> list[list[int]]:
        """Draws grouped by their key of a block, in order of first occurrence."""
        groups: dict[Hashable, list[int]] = {}
        for index in members:
            key: Hashable = self.net.key(self.draws[index].subnet, block)
            if block in self.net.stochastic and self._generators[index] is not None:
                key = (key, index)
            groups.setdefault(key, []).append(index)
        return list(groups.values())

    def _descend(self, x: Tensor, block: int, members: list[int]) -> None:
        """Run blocks while all members have equal keys; then branch from a leaf that accumulates
        their gradients."""
        total = len(self.net.blocks)
        while block < total:
            groups = self._groups(block, members) if len(members) > 1 else [members]
            if len(groups) > 1:
                self._fork(x, block, groups)
                return
            first = members[0]
            subnet = self.draws[first].subnet
            if self.net.key(subnet, block) is not None:
                x = self._blocks.run(block, x, subnet, self._generators[first])
            block += 1
        self._learn(x, members)

    def _fork(self, x: Tensor, block: int, groups: list[list[int]]) -> None:
        if not x.requires_grad:
            for group in groups:
                self._descend(x, block, group)
            return
        leaf = x.detach().requires_grad_()
        for group in groups:
            if self.stop():
                return
            self._descend(leaf, block, group)
        torch.autograd.backward(x, leaf.grad)

    def _learn(self, logits: Tensor, members: list[int]) -> None:
        logits = full_precision(logits)
        total: Tensor | None = None
        for index in members:
            draw = self.draws[index]
            self._seen.resolution = draw.subnet.resolution
            loss = self.bus.loss(self.step, draw, logits, self._batch, self._seen, self.criterion)
            self._seen.add(draw.role, logits)
            self.losses[index] += loss.detach() * self._weight
            part = loss * (self.shares[index] * self._weight)
            total = part if total is None else total + part
        if total is not None:
            torch.autograd.backward(self.scale(total))
