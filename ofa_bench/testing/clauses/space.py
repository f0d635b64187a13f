"""Clauses on spaces and data sets: valid tables, exact counts, extractable subnets."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ofa_bench.planning.assemble import space_of, spec_of
from ofa_bench.testing.case import Case, only
from ofa_bench.testing.source_lines import line_of
from ofa_bench.testing.verdict import Breach, clause, clauses

if TYPE_CHECKING:
    from torch import Tensor

    from ofa_bench.space import Space, Subnet

CLASSES, IMAGES = 7, 4
PAGE = "docs/own-network.md"
on_networks = clauses("space", "supernet", page=PAGE)


@clause("the TOML table is valid", "space", "dataset", expected="a TOML table without errors")
def table_is_valid(case: Case) -> None:
    if case.entry.kind == "space":
        space_of(case.entry.name, case.catalogue)
    else:
        spec = spec_of(case.entry.name, case.catalogue)
        space_of(spec.space, case.catalogue)


@clause(
    "sampled subnets lie in the space",
    "space",
    expected="samples are members, with MACs between the smallest and the largest",
)
def samples_lie_in_space(case: Case) -> None:
    """Sampling and membership agree; smallest and largest bound the MACs."""
    space = space_of(case.entry.name, case.catalogue)
    rng = random.Random(0)
    low, high = space.macs(space.smallest, CLASSES), space.macs(space.largest, CLASSES)
    for _ in range(32):
        net = space.sample(rng)
        if net not in space:
            raise Breach(f"{net} was sampled and is not in the space")
        if not low <= space.macs(net, CLASSES) <= high:
            raise Breach(f"{net} has fewer MACs than the smallest, or more than the largest")


@on_networks(
    "MACs and parameters match torch's counts",
    "a subnet's computed MACs and parameters equal those that torch counts",
)
def macs_match_torch(case: Case) -> None:
    """Counted on the extracted subnet; one MAC is two FLOPs."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    space, net = network(case)
    for subnet in nets_of(space):
        cut = extracted(case, net, subnet)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            cut(images(subnet))
        counted = counter.get_total_flops() // (2 * IMAGES)
        if counted != space.macs(subnet, CLASSES):
            computed = space.macs(subnet, CLASSES)
            raise Breach(
                f"{subnet}: {computed:,} MACs computed, {counted:,} counted", where=counting(case)
            )
        held = sum(parameter.numel() for parameter in cut.parameters())
        if held != space.params(subnet, CLASSES):
            computed = space.params(subnet, CLASSES)
            raise Breach(
                f"{subnet}: {computed:,} parameters computed, {held:,} counted",
                where=counting(case),
            )


@on_networks(
    "extracted subnets match the supernet",
    "an extracted subnet gives the same logits as in the supernet",
)
def subnets_match_supernet(case: Case) -> None:
    """Deployment uses the extracted subnet."""
    import torch

    space, net = network(case)
    net = net.double()
    for subnet in nets_of(space):
        batch = images(subnet).double()
        net.activate(subnet)
        with torch.no_grad():
            if not torch.allclose(net(batch), extracted(case, net, subnet)(batch)):
                raise Breach(
                    f"{subnet} gives other logits when extracted",
                    where=line_of(type(net), "extract"),
                )


def network(case: Case) -> tuple[Space, Any]:
    """The case's space and its supernet. All weights get noise: norms initialised to 1 and 0 would
    hide which channels a subnet uses."""
    import torch

    space = space_of(case.space, case.catalogue)
    net = case.catalogue.get("supernet", space.table.family).load()(space, CLASSES, seed=0)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return space, net


def extracted(case: Case, net: Any, subnet: Subnet) -> Any:
    """A subnet as a separate module, by the network's `extract` or that of MBConvNet."""
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
    """Random images [4, 3, resolution, resolution] for a subnet."""
    import torch

    size = subnet.resolution
    return torch.randn(IMAGES, 3, size, size, generator=torch.Generator().manual_seed(1))


def counting(case: Case) -> str:
    """The source line of a family's cost rule; "" for the bundled rule."""
    family = space_of(case.space, case.catalogue).table.family
    entry = case.catalogue.get("supernet", family)
    target = entry.about["costs"]
    return line_of(replace(entry, target=target).load()) if target else ""
