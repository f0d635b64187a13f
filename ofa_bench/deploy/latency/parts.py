"""The parts of a space's nets as they are deployed: trunk, head, and every distinct block."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import nn

from ofa_bench.data.sources.batch import MicroBatch
from ofa_bench.errors import UsageError
from ofa_bench.evaluation.calibration import calibrate
from ofa_bench.nets.extract import extract
from ofa_bench.nets.mbconv import MBConvNet
from ofa_bench.space import Space, Subnet

PartKey = tuple[int, int, int] | str
"""(slot, kernel, expand ratio) of an elastic block; "trunk" or "head"."""

TRUNK, HEAD = "trunk", "head"
STATISTICS = 4  # images of noise that norms take their statistics from


@dataclass(frozen=True)
class Shaped:
    """A plain module in evaluation mode, and the shape of its input, batch first.

    `key` is equal for modules that take equally long: equal layers on inputs of one shape.
    """

    module: nn.Module
    shape: tuple[int, ...]

    @property
    def key(self) -> Hashable:
        return repr(self.module), self.shape


def deployed(net: Any, subnet: Subnet) -> nn.Sequential:
    """A subnet of a supernet as a plain module on the CPU, its norms with statistics of noise.

    Raises UsageError for a network of a family whose subnets cannot be taken out.
    """
    if not isinstance(net, MBConvNet):
        raise UsageError(
            f"{type(net).__name__} is not made of the bundled blocks, which alone can be taken out",
            "measure a space of the family mbconv",
        )
    size = subnet.resolution
    images = torch.randn(STATISTICS, 3, size, size, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(STATISTICS, dtype=torch.long)
    batch = MicroBatch(images.to(next(net.parameters()).device), labels)
    return extract(net, subnet, calibrate(net, subnet, [batch])).cpu()


def whole(net: Any, subnet: Subnet, batch: int) -> Shaped:
    return Shaped(deployed(net, subnet), (batch, 3, subnet.resolution, subnet.resolution))


def parts(net: MBConvNet, resolution: int, batch: int) -> Iterator[tuple[PartKey, Shaped]]:
    """Every part of the nets of a space at a resolution, taken out of nets that hold it."""
    for subnet in covering(net.space, resolution):
        plain = deployed(net, subnet)
        x = torch.zeros(batch, 3, resolution, resolution)
        for name, module in plain.named_children():
            slot = net.module_names.index(name) - 1
            key: PartKey = TRUNK if slot < 0 else HEAD
            if 0 <= slot < len(subnet.kernel):
                kernel, expand = subnet.kernel[slot], subnet.expand[slot]
                assert kernel is not None and expand is not None
                key = (slot, kernel, expand)
            shape = tuple(x.shape)
            with torch.inference_mode():  # before a device has the module, which may move it
                x = module(x)
            yield key, Shaped(module, shape)


def covering(space: Space, resolution: int) -> list[Subnet]:
    """Nets of full depth in which every block of the space's table stands at least once."""
    choices = [list(product(row.kernel, row.expand)) for row in space.table.rows]
    nets = []
    for number in range(max(map(len, choices))):
        stages = [
            [pairs[number % len(pairs)]] * max(row.depth)
            for pairs, row in zip(choices, space.table.rows, strict=True)
        ]
        nets.append(space.compose(stages, resolution))
    return nets
