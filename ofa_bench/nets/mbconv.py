"""The table-driven supernet of inverted residual blocks (Cai et al. 2020; Howard et al. 2019)."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import get_args

import torch
from torch import Generator, Tensor, nn

from ofa_bench.errors import UnknownName, UsageError
from ofa_bench.nets.active import Slices, block_slices
from ofa_bench.nets.blocks import HeadBlock, MBConv, Shortcuts, Trunk
from ofa_bench.nets.elastic import ElasticDepthwise, ElasticNorm
from ofa_bench.nets.init import Init, initialize
from ofa_bench.nets.order import channel_order
from ofa_bench.nets.protocol import Permutation, SortMode
from ofa_bench.space import Space, Subnet


class MBConvNet(nn.Module):
    """All subnets of a space over one set of weights: trunk, one block per slot, head.

    Parameters have names such as `blocks.3.depthwise.matrix_7to5`. `module_names` names the blocks:
    trunk, stage1_block1, stage1_block2, …, head.
    """

    def __init__(
        self,
        space: Space,
        classes: int,
        *,
        dropout: float = 0.0,
        shortcuts: Shortcuts = "identity",
    ) -> None:
        super().__init__()
        table = space.table
        self.space, self.classes = space, classes
        slots, names = [], []
        inputs = table.first.width
        for stage, row in enumerate(table.rows, start=1):
            for position in range(1, max(row.depth) + 1):
                stride = row.stride if position == 1 else 1
                transforms, eps = table.transforms, table.norm_eps
                slots.append(MBConv(inputs, row, stride, transforms, eps, shortcuts))
                names.append(f"stage{stage}_block{position}")
                inputs = row.width
        head = HeadBlock(inputs, table.head, classes, table.norm_eps, dropout)
        self.blocks = nn.ModuleList([Trunk(table, shortcuts), *slots, head])
        self.module_names = ("trunk", *names, "head")
        self.stochastic = frozenset({len(slots) + 1} if dropout > 0 else ())
        self.active = space.largest

    def slots(self) -> Iterator[tuple[str, MBConv]]:
        """Name and block of every elastic block, in forward order."""
        for index, block in enumerate(self.blocks):
            if isinstance(block, MBConv):
                yield f"blocks.{index}", block

    def norms(self, index: int) -> dict[str, ElasticNorm]:
        """The batch norms of a block by their full names, in the order in which they run."""
        modules = self.blocks[index].named_modules(prefix=f"blocks.{index}")
        return {name: module for name, module in modules if isinstance(module, ElasticNorm)}

    def key(self, subnet: Subnet, index: int) -> Hashable | None:
        """The resolution for the trunk, kernel and middle width for a block, None if left out."""
        block = self.blocks[index]
        if isinstance(block, MBConv):
            kernel, expand = subnet.kernel[index - 1], subnet.expand[index - 1]
            return None if kernel is None or expand is None else (kernel, block.middle(expand))
        return ("trunk", subnet.resolution) if index == 0 else ("head",)

    def run(self, index: int, x: Tensor, subnet: Subnet, generator: Generator | None) -> Tensor:
        """One block's output; dropout only where a generator is given."""
        block = self.blocks[index]
        if isinstance(block, MBConv):
            kernel, expand = subnet.kernel[index - 1], subnet.expand[index - 1]
            if kernel is None or expand is None:
                return x
            y: Tensor = block(x, kernel, block.middle(expand))
        else:
            y = block(x, generator)
        return y

    def activate(self, subnet: Subnet) -> None:
        """Make `forward` run this subnet."""
        self.active = subnet

    def forward(self, images: Tensor) -> Tensor:
        """Logits [n, classes] of the active subnet, without dropout."""
        x = images
        for index in range(len(self.blocks)):
            x = self.run(index, x, self.active, None)
        return x

    def reachable(self, space: Space) -> set[str]:
        """Names of the parameters that some subnet of this (sub)space uses."""
        names = _parameters(self.blocks, 0) | _parameters(self.blocks, len(self.blocks) - 1)
        for option, slots in zip(space.options, space.blocks, strict=True):
            for slot in slots[: max(option.depth)]:
                names |= _parameters(self.blocks, slot + 1)
                depthwise = self.blocks.get_submodule(f"{slot + 1}.depthwise")
                assert isinstance(depthwise, ElasticDepthwise)
                idle = depthwise.idle_matrices(option.kernel)
                names -= {f"blocks.{slot + 1}.depthwise.{name}" for name in idle}
        return names

    def slices(self, subnet: Subnet) -> dict[str, Slices]:
        """The part of each parameter that a subnet uses; names it does not use are left out."""
        parts: dict[str, Slices] = {}
        for index, block in enumerate(self.blocks):
            if not isinstance(block, MBConv):
                parts |= {name: (slice(None),) for name in _parameters(self.blocks, index)}
                continue
            kernel, expand = subnet.kernel[index - 1], subnet.expand[index - 1]
            if kernel is not None and expand is not None:
                inner = block_slices(block, kernel, block.middle(expand))
                parts |= {f"blocks.{index}.{name}": part for name, part in inner}
        return parts

    def channel_order(self, mode: SortMode, expands: tuple[int, ...]) -> list[Permutation]:
        """Permutations that bring each block's important middle channels to the front."""
        return channel_order(self.slots(), mode, expands)


def _parameters(blocks: nn.ModuleList, index: int) -> set[str]:
    return {name for name, _ in blocks[index].named_parameters(prefix=f"blocks.{index}")}


def _refuse_unknown(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UnknownName(option, value, known)


def build(
    space: Space,
    classes: int,
    seed: int = 0,
    *,
    init: Init = "torch",
    zero_gamma: bool = False,
    shortcuts: Shortcuts = "identity",
    dropout: float = 0.0,
    channels_last: bool = False,
) -> MBConvNet:
    """A supernet for the whole table of a space, its weights drawn from the seed alone.

    `zero_gamma`: the last norm of every block with a shortcut starts at γ = 0 (BigNAS).
    `shortcuts`: "everywhere" adds parameter-free ones where stride or width change.
    `channels_last` forces that layout on any images; without it the layout is that of the images,
    at no cost: only the stem's kernels lie differently in memory. Raises UsageError on an unknown
    or invalid option.
    """
    _refuse_unknown("init", init, get_args(Init))
    _refuse_unknown("shortcuts", shortcuts, get_args(Shortcuts))
    if classes < 1:
        raise UsageError(f"a network for {classes} classes", "it needs at least one")
    if not 0 <= dropout < 1:
        raise UsageError(f"dropout {dropout} is no probability", "give 0 or more, below 1")
    with torch.random.fork_rng(devices=[]):
        net = MBConvNet(space, classes, dropout=dropout, shortcuts=shortcuts)
    initialize(net, init, seed)
    if zero_gamma:
        for block in net.blocks:
            if isinstance(block, Trunk | MBConv) and block.shortcut is not None:
                nn.init.zeros_(block.project_norm.weight)
    return net.to(memory_format=torch.channels_last) if channels_last else net
