"""Channel sorting (Cai et al. 2020, "elastic width"): compute permutations, then apply them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from ofa_bench.nets.blocks import MBConv
from ofa_bench.nets.protocol import Permutation, SortMode


@torch.no_grad()
def channel_order(
    blocks: Iterable[tuple[str, MBConv]], mode: SortMode, expands: tuple[int, ...]
) -> list[Permutation]:
    """Permutations that sort each block's middle channels by falling importance.

    A middle channel's importance is the L1 norm of the projection's weights that read it, a
    squeeze channel's that of the gate's. `grouped` sorts only within the groups that ratios
    already trained bound: with ratios r0 > r1 > … those are [0, w(r_s)), [w(r_s), w(r_s−1)), …,
    s = the number of ratios − 2, so two ratios make one group and three make two. Squeeze channels
    are sorted as a whole. Ties keep their order.
    """
    permutations: list[Permutation] = []
    for name, block in blocks:
        importance = block.project.weight.abs().sum((0, 2, 3))
        bounds = _bounds(block, expands) if mode == "grouped" else []
        index = descending(importance, bounds)
        permutations += [Permutation(f"{name}.{leaf}", dim, index) for leaf, dim in _middle(block)]
        if block.se is not None:
            squeeze = descending(block.se.expand.weight.abs().sum((0, 2, 3)), [])
            permutations += [
                Permutation(f"{name}.se.{leaf}", dim, squeeze) for leaf, dim in _SQUEEZE
            ]
    return permutations


@torch.no_grad()
def apply(
    net: nn.Module,
    permutations: Iterable[Permutation],
    tensors: Callable[[str], Iterable[Tensor]] | None = None,
) -> None:
    """Move channels in place, in every tensor that `tensors(parameter name)` gives.

    By default that is the parameter alone; an engine adds the optimizer's state of its shape.
    """
    named = dict(net.named_parameters())
    for move in permutations:
        for tensor in tensors(move.name) if tensors is not None else (named[move.name],):
            tensor.copy_(tensor.index_select(move.dim, move.index.to(tensor.device)))


def descending(importance: Tensor, bounds: Iterable[int]) -> Tensor:
    """Order of channels [n] by falling importance, inside each group that the bounds cut off."""
    edges = [0, *bounds, len(importance)]
    groups = [
        start + importance[start:stop].argsort(descending=True, stable=True)
        for start, stop in itertools.pairwise(edges)
    ]
    return torch.cat(groups)


_SQUEEZE = (("expand.weight", 1), ("reduce.weight", 0), ("reduce.bias", 0))


def _middle(block: MBConv) -> list[tuple[str, int]]:
    """Parameters along the middle channels, with the dimension these lie in."""
    leaves = [
        ("project.weight", 1),
        ("depthwise.weight", 0),
        ("depthwise_norm.weight", 0),
        ("depthwise_norm.bias", 0),
        ("expand.weight", 0),
        ("expand_norm.weight", 0),
        ("expand_norm.bias", 0),
    ]
    if block.se is not None:
        leaves += [("se.expand.weight", 0), ("se.expand.bias", 0), ("se.reduce.weight", 1)]
    return leaves


def _bounds(block: MBConv, expands: tuple[int, ...]) -> list[int]:
    """Inner edges of the groups, rising."""
    full = block.project.in_channels
    shared = sorted(set(expands))[1:]
    return [width for width in map(block.middle, shared) if width < full]
