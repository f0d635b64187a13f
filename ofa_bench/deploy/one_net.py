"""One subnet as a network of its own: the table of a space that holds it alone, and its weights."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ofa_bench.errors import UsageError
from ofa_bench.nets.blocks import MBConv
from ofa_bench.nets.mbconv import MBConvNet
from ofa_bench.seeding import digest
from ofa_bench.space import Space, Subnet
from ofa_bench.space.table import table_names


def name_of(space: Space, subnet: Subnet) -> str:
    """The name of the one-net space: of the space and of the subnet, never of a run."""
    return f"{space.name}-net-{digest(space.fingerprint(), subnet.to_json())[:10]}"


def table_text(space: Space, subnet: Subnet) -> str:
    """The TOML table of the space that holds this subnet alone; a stage for each of its blocks.

    Based on the space where that is shipped, so that recipes for it apply.
    """
    table, kept = space.table, list(space.active(subnet))
    rows = [table.rows[stage] for stage, _, _, _ in kept]
    firsts = [slot == space.blocks[stage][0] for stage, slot, _, _ in kept]
    stages = {
        "width": [row.width for row in rows],
        "stride": [row.stride if first else 1 for row, first in zip(rows, firsts, strict=True)],
        "act": [row.act for row in rows],
        "se": [row.se for row in rows],
        "depth": [[1]] * len(rows),
        "expand": [[expand] for _, _, _, expand in kept],
        "kernel": [[kernel] for _, _, kernel, _ in kept],
    }
    top = {
        **({"base": table.name} if table.name in table_names() else {}),
        "summary": f"the subnet {subnet} of {table.name} alone",
        "source": "cut out of a supernet by `ofa-bench finetune`",
        "family": table.family,
        "width_mult": 1.0,
        "norm_eps": table.norm_eps,
        "transforms": table.transforms,
        "resolution": subnet.resolution,
    }
    parts = {"stem": vars(table.stem), "first": vars(table.first), "stages": stages}
    return "\n".join(_lines(top, {**parts, "head": vars(table.head)}))


def _lines(top: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield from (f"{key} = {json.dumps(value)}" for key, value in top.items())
    for name, part in parts.items():
        yield f"\n[{name}]"
        yield from (f"{key} = {json.dumps(value)}" for key, value in part.items())
    yield ""


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
