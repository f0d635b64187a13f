"""Clauses on spaces, data sets and networks: tables read, counts true, slices right."""

from __future__ import annotations

import random
from typing import Any

from ofa_bench.engine.assemble import space_of, spec_of
from ofa_bench.testing.case import Case, only
from ofa_bench.testing.verdict import Breach, clause

CLASSES = 7


@clause("its table is read", "space", "dataset", expected="a TOML table that can be meant")
def its_table_is_read(case: Case) -> None:
    """Errors in tables name file and key."""
    if case.entry.kind == "space":
        space_of(case.entry.name, case.catalogue)
    else:
        spec = spec_of(case.entry.name, case.catalogue)
        space_of(spec.space, case.catalogue)


@clause("draws belong to it", "space", expected="what is sampled is in the space")
def draws_belong_to_it(case: Case) -> None:
    """Sampling and membership agree, and ends cost least and most."""
    space = space_of(case.entry.name, case.catalogue)
    rng = random.Random(0)
    low, high = space.macs(space.smallest, CLASSES), space.macs(space.largest, CLASSES)
    for _ in range(32):
        net = space.sample(rng)
        if net not in space:
            raise Breach(f"{net} was sampled and is not in it")
        if not low <= space.macs(net, CLASSES) <= high:
            raise Breach(f"{net} costs less than the smallest, or more than the largest")


@clause(
    "MACs are counted",
    "space",
    expected="MACs and parameters of the table are those of the network, by torch's flop counter",
)
def macs_are_counted(case: Case) -> None:
    """Two flops a MAC, on the smallest net and a random one."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    space = space_of(case.entry.name, case.catalogue)
    net = _network(case, space)
    for subnet in (space.smallest, space.sample(random.Random(1)).at(min(space.resolutions))):
        net.activate(subnet)
        images = torch.zeros(2, 3, subnet.resolution, subnet.resolution)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            net(images)
        counted, told = counter.get_total_flops() / 4, space.macs(subnet, CLASSES)
        if space.table.transforms:
            continue  # kernel matrices are multiplied in training only, and are not MACs of a net
        if counted != told:
            raise Breach(f"{subnet}: {told:,} MACs in the table, {counted:,.0f} in the network")


@clause(
    "subnets are slices",
    "space",
    "supernet",
    expected="a subnet cut out as a net of its own gives the same logits",
)
def subnets_are_slices(case: Case) -> None:
    """What is deployed is what was trained."""
    import torch

    from ofa_bench.nets.extract import extract

    only(case.entry.kind == "space", "a network of its own kind has its own extraction")
    space = space_of(case.entry.name, case.catalogue)
    net = _network(case, space).double()
    subnet = space.smallest
    size = subnet.resolution
    images = torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(1)).double()
    net.activate(subnet)
    with torch.no_grad():
        if not torch.allclose(net(images), extract(net, subnet)(images)):
            raise Breach(f"{subnet} cut out answers otherwise")


def _network(case: Case, space: Any) -> Any:
    return case.catalogue.get("supernet", space.table.family).load()(space, CLASSES, seed=0)
