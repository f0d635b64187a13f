"""Clauses on spaces and data sets: tables read, counts true, subnets slices."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ofa_bench.planning.assemble import space_of, spec_of
from ofa_bench.testing.case import Case, only
from ofa_bench.testing.source_lines import line_of
from ofa_bench.testing.verdict import Breach, clause

if TYPE_CHECKING:
    from torch import Tensor

    from ofa_bench.space import Space, Subnet

CLASSES, IMAGES = 7, 4
PAGE = "docs/own-network.md"


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
    "supernet",
    page=PAGE,
    expected="MACs and parameters told of a subnet are those of the network, by torch's counters",
)
def macs_are_counted(case: Case) -> None:
    """Two flops a MAC; parameters by those of the subnet cut out."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    space, net = network(case)
    for subnet in nets_of(space):
        cut = extracted(case, net, subnet)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            cut(images(subnet))
        counted = counter.get_total_flops() // (2 * IMAGES)
        if counted != space.macs(subnet, CLASSES):
            told = space.macs(subnet, CLASSES)
            raise Breach(
                f"{subnet}: {told:,} MACs are told, {counted:,} are done", where=counting(case)
            )
        held = sum(parameter.numel() for parameter in cut.parameters())
        if held != space.params(subnet, CLASSES):
            told = space.params(subnet, CLASSES)
            raise Breach(
                f"{subnet}: {told:,} parameters are told, {held:,} held", where=counting(case)
            )


@clause(
    "subnets are slices",
    "space",
    "supernet",
    page=PAGE,
    expected="a subnet cut out as a net of its own gives the same logits",
)
def subnets_are_slices(case: Case) -> None:
    """What is deployed is what was trained."""
    import torch

    space, net = network(case)
    net = net.double()
    for subnet in nets_of(space):
        given = images(subnet).double()
        net.activate(subnet)
        with torch.no_grad():
            if not torch.allclose(net(given), extracted(case, net, subnet)(given)):
                raise Breach(
                    f"{subnet} cut out answers otherwise", where=line_of(type(net), "extract")
                )


def network(case: Case) -> tuple[Space, Any]:
    """The space, and its supernet: of a network, the first space of its family. No weight is as it
    was made, since norms that begin as 1 and 0 hide which of their channels are taken."""
    import torch

    space = space_of(case.space, case.catalogue)
    net = case.catalogue.get("supernet", space.table.family).load()(space, CLASSES, seed=0)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return space, net


def extracted(case: Case, net: Any, subnet: Subnet) -> Any:
    """A subnet as a module of its own: by the network's `extract`, or the shipped one."""
    from ofa_bench.nets.extract import extract
    from ofa_bench.nets.mbconv import MBConvNet

    if isinstance(net, MBConvNet):
        return extract(net, subnet)
    only(
        hasattr(net, "extract"), "the network has no `extract(subnet)`, so nothing can be deployed"
    )
    return net.extract(subnet)


def nets_of(space: Space) -> list[Subnet]:
    """The smallest subnet, the largest, and two in between, at the smallest resolution."""
    rng, size = random.Random(1), min(space.resolutions)
    drawn = [space.sample(rng) for _ in range(2)]
    return [subnet.at(size) for subnet in (space.smallest, space.largest, *drawn)]


def images(subnet: Subnet) -> Tensor:
    """Noise of a subnet's resolution."""
    import torch

    size = subnet.resolution
    return torch.randn(IMAGES, 3, size, size, generator=torch.Generator().manual_seed(1))


def counting(case: Case) -> str:
    """The line of what counts a family's subnets; "" where that is the shipped rule."""
    family = space_of(case.space, case.catalogue).table.family
    entry = case.catalogue.get("supernet", family)
    target = entry.about["costs"]
    return line_of(replace(entry, target=target).load()) if target else ""
