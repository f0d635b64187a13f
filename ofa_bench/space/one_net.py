"""The table of a space that holds one subnet alone, so that the subnet can be a network itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ofa_bench.seeding import digest
from ofa_bench.space.space import Space
from ofa_bench.space.subnet import Subnet
from ofa_bench.space.table import table_names


def net_digest(space: Space, subnet: Subnet) -> str:
    """Ten hex digits of a space and a subnet of it; no run enters them."""
    return digest(space.fingerprint(), subnet.to_json())[:10]


def name_of(space: Space, subnet: Subnet) -> str:
    """The name of the one-net space: of the space and of the subnet, never of a run."""
    return f"{space.name}-net-{net_digest(space, subnet)}"


def table_text(
    space: Space, subnet: Subnet, source: str = "cut out of a supernet by `ofa-bench finetune`"
) -> str:
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
        "source": source,
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
