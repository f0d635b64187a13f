"""Clauses on networks: what the loop and the evaluator share between subnets by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ofa_bench.planning.assemble import space_of
from ofa_bench.testing.case import Case, only
from ofa_bench.testing.clauses.space import CLASSES, PAGE, images, nets_of, network
from ofa_bench.testing.source_lines import line_of
from ofa_bench.testing.verdict import Breach, clause

if TYPE_CHECKING:
    from ofa_bench.space import Space, Subnet


@clause(
    "blocks make the whole",
    "supernet",
    page=PAGE,
    expected="logits [n, classes], the same by `forward` and by `run` block after block",
)
def blocks_make_the_whole(case: Case) -> None:
    """The loop runs blocks, an exported net runs forward."""
    import torch

    space, net = network(case)
    for subnet in nets_of(space):
        net.activate(subnet)
        with torch.no_grad():
            whole, parts = net(images(subnet)), _run(net, subnet)[-1]
        if tuple(whole.shape) != (len(whole), CLASSES):
            raise Breach(f"logits of {subnet} have shape {tuple(whole.shape)}")
        if not torch.allclose(whole, parts, atol=1e-6):
            raise Breach(
                f"{subnet} answers otherwise block by block", where=line_of(type(net), "run")
            )


def _run(net: Any, subnet: Subnet) -> list[Any]:
    """What each block of a subnet gives; blocks it leaves out give what they were given."""
    x, seen = images(subnet), []
    for index in range(len(net.blocks)):
        if net.key(subnet, index) is not None:
            x = net.run(index, x, subnet, None)
        seen.append(x)
    return seen


@clause(
    "keys are true",
    "supernet",
    page=PAGE,
    expected="equal keys at blocks 0 to i mean equal activations after block i",
)
def keys_are_true(case: Case) -> None:
    """Work is shared between subnets on the word of `key`."""
    import torch

    space, net = network(case)
    nets = nets_of(space)
    with torch.no_grad():
        activations = [_run(net, subnet) for subnet in nets]
    for one in range(len(nets)):
        for other in range(one):
            for index in range(len(net.blocks)):
                if net.key(nets[one], index) != net.key(nets[other], index):
                    break
                if not torch.allclose(activations[one][index], activations[other][index]):
                    told = f"block {index} has one key for {nets[one]} and {nets[other]}"
                    raise Breach(f"{told}, and gives two answers", where=line_of(type(net), "key"))


@clause(
    "a key is enough",
    "supernet",
    page=PAGE,
    expected="a block's one answer to an input, whatever else of the subnet differs",
)
def a_key_is_enough(case: Case) -> None:
    """On a GPU a block is recorded by its own key, and the recording takes its place."""
    import torch

    space, net = network(case)
    sizes = sorted(space.resolutions)[:2]
    first: dict[tuple[int, Any], tuple[Any, Any, Subnet]] = {}
    with torch.no_grad():
        for subnet in (each.at(size) for each in nets_of(space) for size in sizes):
            given = [images(subnet), *_run(net, subnet)]
            for index in range(len(net.blocks)):
                if (key := net.key(subnet, index)) is None:
                    continue
                fresh = (given[index], given[index + 1], subnet)
                x, y, one = first.setdefault((index, key), fresh)
                if not torch.allclose(net.run(index, x, subnet, None), y):
                    told = f"block {index} has one key for {one} and {subnet}"
                    told += ", and answers one input otherwise"
                    raise Breach(told, where=line_of(type(net), "key"))


@clause(
    "reachable is true",
    "supernet",
    page=PAGE,
    expected="the names of the parameters that nets of the space have gradients for, and no more",
)
def reachable_is_true(case: Case) -> None:
    """Only what a phase can reach is in the optimizer: else decay would wear it away."""
    space, net = network(case)
    for subnet in (space.smallest, space.largest):
        net.zero_grad(set_to_none=True)
        net.activate(subnet)
        net(images(subnet)).square().sum().backward()
        used = {name for name, p in net.named_parameters() if p.grad is not None}
        told = net.reachable(_alone(space, subnet))
        for name in sorted(used ^ told):
            what = "is said to be used" if name in told else "is used"
            raise Breach(
                f"{name} {what} by {subnet}, and is not", where=line_of(type(net), "reachable")
            )


def _alone(space: Space, subnet: Subnet) -> Space:
    """The subspace of a net that chooses alike within each stage."""
    chosen: dict[int, tuple[int, int]] = {}
    for stage, _, kernel, expand in space.active(subnet):
        chosen[stage] = (kernel, expand)
    stages = range(len(space.blocks))
    return space.only(
        kernel=[(chosen[stage][0],) for stage in stages],
        expand=[(chosen[stage][1],) for stage in stages],
        depth=[(space.depth_of(subnet, stage),) for stage in stages],
        resolution=(subnet.resolution,),
    )


@clause(
    "norms are calibrated",
    "supernet",
    page=PAGE,
    expected="norms(index) names every batch norm: given the batch's own statistics they change "
    "nothing",
)
def norms_are_calibrated(case: Case) -> None:
    """Scores are those of calibrated nets."""
    import torch

    from ofa_bench.data.sources.batch import MicroBatch
    from ofa_bench.evaluation.calibration import calibrate, calibrated

    space, net = network(case)
    batched = [m for m in net.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    only(bool(batched), "it has no batch norm")
    for subnet in nets_of(space):
        given = images(subnet)
        labels = torch.zeros(len(given), dtype=torch.long)
        found = calibrate(net, subnet, [MicroBatch(given, labels)])
        net.activate(subnet)
        with torch.no_grad(), calibrated(net, subnet, found):
            own = net(given)
        with torch.no_grad():
            batch = net(given)
        if not found or not torch.allclose(own, batch, atol=1e-4, rtol=1e-4):
            raise Breach(
                f"{subnet} answers otherwise when calibrated", where=line_of(type(net), "norms")
            )


@clause(
    "the seed makes it",
    "supernet",
    page=PAGE,
    expected="the same weights for the same seed, others for another; shared generators untouched",
)
def the_seed_makes_it(case: Case) -> None:
    """A run is a function of its seed."""
    import torch

    build, space = case.entry.load(), space_of(case.space, case.catalogue)
    before = torch.get_rng_state()
    first, again, other = (build(space, CLASSES, seed=seed) for seed in (0, 0, 1))
    if not torch.equal(before, torch.get_rng_state()):
        raise Breach("building it moves torch's shared generator")
    mine, same, strange = (list(net.parameters()) for net in (first, again, other))
    if any(not a.equal(b) for a, b in zip(mine, same, strict=True)):
        raise Breach("seed 0 gives other weights the second time")
    if all(a.equal(b) for a, b in zip(mine, strange, strict=True)):
        raise Breach("seeds 0 and 1 give the same weights")
