"""The subnets evaluated for a method; they depend on the space and its trained part only."""

from __future__ import annotations

import json
from itertools import pairwise

from ofa_bench import seeding
from ofa_bench.errors import UsageError
from ofa_bench.space import Space, Subnet

PATIENCE = 64  # draws per wanted net before a bucket counts as exhausted


def candidates(
    space: Space, trained: Space, *, per_bucket: int, buckets: int = 6, classes: int
) -> list[Subnet]:
    """Distinct nets of `trained` at its listed resolutions, by MACs (docs/evaluation-protocol.md).

    The ends and the uniform nets of `space` as far as they are trained, the ends of `trained`, and
    from each of `buckets` equal parts of the MACs of `space`, `per_bucket` nets drawn inside it,
    all nets there being equally likely; all of them where there are no more. No run's seed matters.
    """
    named = [space.smallest, space.largest, *space.uniform()]
    nets = {trained.smallest, trained.largest, *(net for net in named if net in trained)}
    for number, (low, high) in enumerate(bounds(space, buckets, classes)):
        nets.update(_inside(trained, low, high, per_bucket, classes, number))
    return sorted(nets, key=lambda net: (space.macs(net, classes), json.dumps(net.to_json())))


def bounds(space: Space, buckets: int, classes: int) -> list[tuple[int, int]]:
    """Lowest and highest MACs of each bucket; every net of the space lies in exactly one."""
    low, high = space.macs(space.smallest, classes), space.macs(space.largest, classes)
    edges = [low + (high + 1 - low) * number // buckets for number in range(buckets + 1)]
    return [(first, last - 1) for first, last in pairwise(edges)]


def _inside(
    trained: Space, low: int, high: int, wanted: int, classes: int, number: int
) -> list[Subnet]:
    if low > high:  # more buckets than MACs to divide
        return []
    every = trained.nets_in(low, high, classes, limit=wanted)
    if every is not None:
        return every
    rng = seeding.rng("candidates", number)
    drawn: dict[Subnet, None] = {}
    for _ in range(PATIENCE * wanted):
        try:
            drawn[trained.sample(rng, "archs", (low, high), classes)] = None
        except UsageError:  # too thinly settled to be listed or hit
            break
        if len(drawn) == wanted:
            break
    return list(drawn)
