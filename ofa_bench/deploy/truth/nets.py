"""The nets that are trained alone: spread over a space's MACs, alike for all supernets."""

from __future__ import annotations

from collections.abc import Iterator

from ofa_bench import seeding
from ofa_bench.errors import UsageError
from ofa_bench.evaluation.candidates import PATIENCE, bounds
from ofa_bench.leaderboard.truth.analysis import LEAST_NETS
from ofa_bench.space import Space, Subnet

STRATA = 6  # equal ranges of MACs, as candidates have
LISTED = 256  # a range of no more nets is listed, not drawn from


def sample(space: Space, classes: int, count: int) -> list[Subnet]:
    """`count` distinct subnets, cheapest first: one from each of six equal ranges of MACs in turn.

    In a range all subnets are equally likely. No run and no seed enters: supernets of one space
    have the same nets, and a smaller sample is a part of a larger one. Raises UsageError where the
    space gives fewer.
    """
    ranges = enumerate(bounds(space, STRATA, classes))
    streams = [_nets_inside(space, low, high, classes, number) for number, (low, high) in ranges]
    nets: list[Subnet] = []
    while streams and len(nets) < count:
        for stream in list(streams):
            net = next(stream, None)
            if net is None:
                streams.remove(stream)
            elif len(nets) < count:
                nets.append(net)
    if len(nets) < count:
        few = len(nets) < LEAST_NETS
        raise UsageError(
            f"{space.name} gives {len(nets)} of the {count} nets that are wanted",
            "too few to rank: name runs of a larger space"
            if few
            else f"ask for --nets {len(nets)}",
        )
    return sorted(nets, key=lambda net: (space.macs(net, classes), str(net.to_json())))


def _nets_inside(space: Space, low: int, high: int, classes: int, number: int) -> Iterator[Subnet]:
    """Distinct nets of a range in an order of chance, until there are none or few left."""
    if low > high:  # more ranges than MACs to divide
        return
    rng = seeding.rng("truth", number)
    every = space.nets_in(low, high, classes, limit=LISTED)
    if every is not None:
        yield from rng.sample(every, len(every))
        return
    drawn: set[Subnet] = set()
    missed = 0
    while missed < PATIENCE:
        net = space.sample(rng, "archs", (low, high), classes)
        missed = missed + 1 if net in drawn else 0
        if net not in drawn:
            drawn.add(net)
            yield net
