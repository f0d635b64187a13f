"""Clauses on supernets: block-wise execution, keys, reachable parameters, norms, seeding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ofa_bench.planning.assemble import space_of
from ofa_bench.testing.case import Case, only
from ofa_bench.testing.clauses.space import CLASSES, PAGE, images, nets_of, network
from ofa_bench.testing.source_lines import line_of
from ofa_bench.testing.verdict import Breach, clauses

on_networks = clauses("supernet", page=PAGE)

if TYPE_CHECKING:
    from ofa_bench.space import Space, Subnet


@on_networks(
    "run over all blocks equals forward",
    "logits [n, classes], equal by `forward` and by `run` block after block",
)
def run_equals_forward(case: Case) -> None:
    """Training runs blocks; an exported network runs `forward`."""
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
                f"{subnet} gives other logits block by block", where=line_of(type(net), "run")
            )


def _run(net: Any, subnet: Subnet) -> list[Any]:
    """The activations after each block of a subnet; skipped blocks pass their input on."""
    x, seen = images(subnet), []
    for index in range(len(net.blocks)):
        if net.key(subnet, index) is not None:
            x = net.run(index, x, subnet, None)
        seen.append(x)
    return seen


@on_networks(
    "equal keys give equal activations",
    "equal keys at blocks 0 to i mean equal activations after block i",
)
def equal_keys_equal_activations(case: Case) -> None:
    """Subnets with equal keys share computation."""
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
                    pair = f"{nets[one]} and {nets[other]}"
                    message = f"block {index} has one key for {pair}, but two outputs"
                    raise Breach(message, where=line_of(type(net), "key"))


@on_networks(
    "a key determines its block's output",
    "blocks with equal keys give equal outputs for equal inputs, in any subnet",
)
def key_determines_output(case: Case) -> None:
    """On a GPU, CUDA graphs of blocks are recorded and replayed by key."""
    import torch

    space, net = network(case)
    sizes = sorted(space.resolutions)[:2]
    first: dict[tuple[int, Any], tuple[Any, Any, Subnet]] = {}
    with torch.no_grad():
        for subnet in (choice.at(size) for choice in nets_of(space) for size in sizes):
            stages = [images(subnet), *_run(net, subnet)]
            for index in range(len(net.blocks)):
                if (key := net.key(subnet, index)) is None:
                    continue
                fresh = (stages[index], stages[index + 1], subnet)
                x, y, one = first.setdefault((index, key), fresh)
                if not torch.allclose(net.run(index, x, subnet, None), y):
                    message = f"block {index} has one key for {one} and {subnet}"
                    message += ", but two outputs for one input"
                    raise Breach(message, where=line_of(type(net), "key"))


@on_networks(
    "reachable names the trained parameters",
    "exactly the parameters that get a gradient in some subnet of the space",
)
def reachable_matches_gradients(case: Case) -> None:
    """Weight decay must not act on parameters that a phase does not train."""
    space, net = network(case)
    for subnet in (space.smallest, space.largest):
        net.zero_grad(set_to_none=True)
        net.activate(subnet)
        net(images(subnet)).square().sum().backward()
        used = {name for name, p in net.named_parameters() if p.grad is not None}
        listed = net.reachable(_alone(space, subnet))
        for name in sorted(used ^ listed):
            what = "has no gradient, but is listed" if name in listed else "is not listed"
            raise Breach(f"{name} {what} for {subnet}", where=line_of(type(net), "reachable"))


def _alone(space: Space, subnet: Subnet) -> Space:
    """The subspace of one subnet that is uniform within each stage."""
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


@on_networks(
    "norms names every batch norm",
    "norms(index) names every batch norm: calibrated on one batch, the logits of that "
    "batch equal those of training mode",
)
def norms_are_complete(case: Case) -> None:
    """Evaluation calibrates the norms that `norms` names."""
    import torch

    from ofa_bench.data.sources.batch import MicroBatch
    from ofa_bench.evaluation.calibration import calibrate, calibrated

    space, net = network(case)
    batched = [m for m in net.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    only(bool(batched), "it has no batch norm")
    for subnet in nets_of(space):
        batch = images(subnet)
        labels = torch.zeros(len(batch), dtype=torch.long)
        statistics = calibrate(net, subnet, [MicroBatch(batch, labels)])
        net.activate(subnet)
        with torch.no_grad(), calibrated(net, subnet, statistics):
            logits = net(batch)
        with torch.no_grad():
            expected = net(batch)
        if not statistics or not torch.allclose(logits, expected, atol=1e-4, rtol=1e-4):
            raise Breach(
                f"{subnet} gives other logits when calibrated", where=line_of(type(net), "norms")
            )


@on_networks(
    "the seed determines the weights",
    "equal weights for equal seeds, others for other seeds; no global generator used",
)
def seed_determines_weights(case: Case) -> None:
    """A run is a function of its seed."""
    import torch

    build, space = case.entry.load(), space_of(case.space, case.catalogue)
    before = torch.get_rng_state()
    first, again, other = (build(space, CLASSES, seed=seed) for seed in (0, 0, 1))
    if not torch.equal(before, torch.get_rng_state()):
        raise Breach("building it uses torch's global generator")
    mine, same, strange = (list(net.parameters()) for net in (first, again, other))
    if any(not a.equal(b) for a, b in zip(mine, same, strict=True)):
        raise Breach("seed 0 gives other weights at the second call")
    if all(a.equal(b) for a, b in zip(mine, strange, strict=True)):
        raise Breach("seeds 0 and 1 give the same weights")
