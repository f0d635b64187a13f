"""A made-up accuracy that no additive prediction fits: saturating, with interactions and noise."""

from __future__ import annotations

import math
import random

import numpy as np

from ofa_bench import seeding
from ofa_bench.search.costs import counted
from ofa_bench.search.dynamic import cheapest, dearest
from ofa_bench.search.searcher import Problem, Searcher
from ofa_bench.space.space import Space
from ofa_bench.space.subnet import Subnet

CLASSES = 10


class Landscape:
    """Slots matter unequally, neighbours help or hinder each other, capacity has less and less use.

    `noise` is the standard deviation of a measurement on `select`.
    """

    def __init__(self, space: Space, seed: int, noise: float) -> None:
        rng = np.random.default_rng(seed)
        self.space, self.seed, self.noise = space, seed, noise
        keys = list(space.costs.params.blocks)
        weight = {slot: rng.lognormal(0, 0.5) for slot in sorted({key[0] for key in keys})}
        self.gain = {
            (slot, kernel, expand): weight[slot]
            * (0.5 + 0.5 * (expand / 6) ** 0.7 + (kernel - 3) / 40)
            * math.exp(rng.normal(0, 0.08))
            for slot, kernel, expand in keys
        }
        self.pair = {slot: rng.normal(0, 0.05) for slot in weight}
        self.total = sum(weight.values())

    def true(self, net: Subnet) -> float:
        """The accuracy on images without end."""
        capacity, before = 0.0, 0.0
        for _, slot, kernel, expand in self.space.active(net):
            gain = self.gain[slot, kernel, expand]
            capacity += gain + self.pair[slot] * gain * before * (1 if expand > 3 else -1)
            before = gain
        capacity = capacity / self.total + 0.3 * math.log(net.resolution / max(self.space.listed))
        return 0.9 - 0.35 * math.exp(-2.5 * capacity)

    def select(self, net: Subnet) -> float:
        """The accuracy as measured: the same whenever it is measured."""
        noise = seeding.rng("select", self.seed, str(net.to_json())).gauss(0, self.noise)
        return self.true(net) + noise


def problem_at(space: Space, share: float) -> Problem:
    """A MACs budget at a share of the way from the cheapest net to the dearest."""
    macs = counted(space, "macs", CLASSES)
    low, high = cheapest(space, macs), dearest(space, macs)
    return Problem(space, macs, low + share * (high - low), CLASSES, macs)


def search(
    searcher: Searcher, problem: Problem, landscape: Landscape, evaluations: int, seed: int
) -> float:
    """The true accuracy of the net that is best on select, after so many evaluations."""
    scored: dict[Subnet, float] = {}
    rng = random.Random(seed)
    while len(scored) < evaluations:
        nets = searcher.propose(problem, scored, min(12, evaluations - len(scored)), rng)
        assert not set(nets) & scored.keys() and len(set(nets)) == len(nets)
        assert all(problem.cost.of(problem.space, net) <= problem.budget for net in nets)
        if not nets:
            break
        scored |= {net: landscape.select(net) for net in nets}
    return landscape.true(max(scored, key=lambda net: scored[net]))
