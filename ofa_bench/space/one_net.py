"""The table of a space that holds one subnet alone, so that the subnet can be a network itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ofa_bench.seeding import digest
from ofa_bench.space.space import Space
from ofa_bench.space.subnet import Subnet
from ofa_bench.space.table import Row, Table, table_names


def net_digest(space: Space, subnet: Subnet) -> str:
    """Ten hex digits of a space and a subnet of it; no run enters them."""
    return digest(space.fingerprint(), subnet.to_json())[:10]


def name_of(space: Space, subnet: Subnet) -> str:
    """The name of the one-net space: of the space and of the subnet, never of a run."""
    return f"{space.name}-net-{net_digest(space, subnet)}"


def name_alone(space: Space, subnet: Subnet) -> str:
    """The name of the one-net space on which `ofa-bench truth` trains a net alone."""
    return f"{space.name}-alone-{net_digest(space, subnet)}"


def one_net_table(space: Space, subnet: Subnet, name: str) -> Table:
    """The table that `table_text` spells, under this name."""
    sizes = (subnet.resolution,)
    rows = tuple(_rows(space, subnet))
    return replace(space.table, name=name, rows=rows, resolutions=sizes, listed=sizes)


def _rows(space: Space, subnet: Subnet) -> Iterator[Row]:
    """A stage for each block of the subnet; only a stage's first block has its stride."""
    for stage, slot, kernel, expand in space.active(subnet):
        row = space.table.rows[stage]
        stride = row.stride if slot == space.blocks[stage][0] else 1
        yield replace(row, stride=stride, depth=(1,), expand=(expand,), kernel=(kernel,))


def table_text(
    space: Space, subnet: Subnet, source: str = "cut out of a supernet by `ofa-bench finetune`"
) -> str:
    """The TOML table of the space that holds this subnet alone; a stage for each of its blocks.

    Based on the space where that is shipped, so that recipes for it apply.
    """
    table, rows = space.table, list(_rows(space, subnet))
    columns = ("width", "stride", "act", "se", "depth", "expand", "kernel")
    stages = {column: [getattr(row, column) for row in rows] for column in columns}
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
