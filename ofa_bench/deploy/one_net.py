"""The weights of one subnet by the names of its network alone, see `ofa_bench.space.one_net`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ofa_bench.errors import UsageError
from ofa_bench.nets.blocks import MBConv
from ofa_bench.nets.mbconv import MBConvNet
from ofa_bench.space import Subnet


@torch.no_grad()
def weights_of(net: Any, subnet: Subnet) -> dict[str, Tensor]:
    """The subnet's weights by the names of the one-net network, kernels after their matrices.

    Raises UsageError for a network of a plugin, whose layers are not known here.
    """
    if not isinstance(net, MBConvNet):
        raise UsageError(
            f"subnets of the family {net.space.table.family!r} cannot be cut out here",
            "only networks of the shipped family can be fine-tuned",
        )
    kept = [index for index in range(len(net.blocks)) if net.key(subnet, index) is not None]
    renumbered = {f"blocks.{old}.": f"blocks.{new}." for new, old in enumerate(kept)}
    parameters, weights = dict(net.named_parameters()), {}
    for name, part in net.slices(subnet).items():
        if ".matrix_" in name:
            continue
        number, _, leaf = name.removeprefix("blocks.").partition(".")
        value = parameters[name][part]
        block = net.blocks[int(number)]
        if isinstance(block, MBConv) and leaf == "depthwise.weight":
            kernel = subnet.kernel[int(number) - 1]
            assert kernel is not None
            value = block.depthwise.cut(len(value), kernel)
        weights[f"{renumbered[f'blocks.{number}.']}{leaf}"] = value.detach().cpu().contiguous()
    return weights
