"""The bundled searcher: evaluate, fit a surrogate, compute its optimum under the budget, repeat."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from itertools import islice

from ofa_bench.search.costs import AdditiveCost
from ofa_bench.search.dynamic import BestSubnets
from ofa_bench.search.predictor import LEAST_NETS, PredictorQuality
from ofa_bench.search.searcher import Problem
from ofa_bench.search.surrogate import BlockFeatures, fitted, surrogate_quality
from ofa_bench.space.subnet import Subnet

NEAR = 0.75  # "near the budget" is above this share of the way from the cheapest net to it
FIRST = 24  # nets evaluated before a surrogate is used
DRAWS = 0.5  # share of a round that is the optimum of a drawn surrogate
WANDER = 0.125  # share of a round that is drawn near the budget, whatever the surrogate says
LISTED_MACS = 10**8  # nets of a space up to which the most MACs under a MACs budget are computed


class ExactSearcher:
    """Proposes the exact optima of additive predictions of accuracy, under the budget.

    First come nets spread over the budget, most of them near it, with uniform nets and the one that
    MACs alone would choose. Then a ridge regression over blocks is fitted to what was evaluated,
    and `BestSubnets` lists its best nets, and the best nets of surrogates drawn from its posterior,
    so that a round is no set of near copies. Where held-out predictions order nets no better than
    their MACs do, the prediction is not used: nets near the budget are evaluated instead, and
    `note` says so.
    """

    def __init__(self) -> None:
        self.note = ""
        """A sentence on the last proposal."""
        self.quality: PredictorQuality | None = None
        """Of the surrogate at the last proposal; None before there is one."""

    def propose(
        self, problem: Problem, scored: Mapping[Subnet, float], count: int, rng: random.Random
    ) -> list[Subnet]:
        left = problem.inside.left(scored)
        if left is not None and len(left) <= count:
            self.note = "all nets inside the budget are evaluated"
            return left
        if len(scored) < max(FIRST, LEAST_NETS):
            self.note = "nets spread over the budget: too few are evaluated for a prediction"
            return self._spread(problem, scored, count, rng)
        features = BlockFeatures(problem)
        self.quality = surrogate_quality(problem, scored, features)
        if not self.quality.beats_macs:
            self.note = f"prediction not used, nets near the budget instead: {self.quality}"
            return self._near(problem, scored, count, rng)
        self.note = f"best nets of the prediction: {self.quality}"
        return self._predicted(problem, features, scored, count, rng)

    def _spread(
        self, problem: Problem, scored: Collection[Subnet], count: int, rng: random.Random
    ) -> list[Subnet]:
        """The most MACs, uniform nets, and random nets: a quarter anywhere, the rest near."""
        picked = dict.fromkeys([largest_inside(problem), *_uniform(problem)])
        nets = [net for net in picked if net not in scored][: 1 + count // 8][:count]
        nets += problem.random_nets(rng, min(count // 4, count - len(nets)), {*scored, *nets})
        return _filled(problem, nets, scored, count, rng)

    def _near(
        self, problem: Problem, scored: Collection[Subnet], count: int, rng: random.Random
    ) -> list[Subnet]:
        most = largest_inside(problem)
        return _filled(problem, [] if most in scored else [most][:count], scored, count, rng)

    def _predicted(
        self,
        problem: Problem,
        features: BlockFeatures,
        scored: Mapping[Subnet, float],
        count: int,
        rng: random.Random,
    ) -> list[Subnet]:
        surrogate = fitted(features, scored)
        wander, draws = int(count * WANDER), int(count * DRAWS)
        weights = features.score(surrogate.weights)
        nets = _optima(problem, weights, scored, count - wander - draws)
        for _ in range(draws):
            drawn = features.score(surrogate.drawn(rng))
            nets += _optima(problem, drawn, {*scored, *nets}, 1)
        return _filled(problem, nets, scored, count, rng)


def _optima(
    problem: Problem, score: AdditiveCost, known: Collection[Subnet], count: int
) -> list[Subnet]:
    """The best `count` nets inside the budget, those `known` left out."""
    most = problem.inside.most
    ranked = BestSubnets(problem.space, problem.cost, score, most).ranked(most)
    fresh = (net.subnet for net in ranked if net.subnet not in known)
    return list(islice(fresh, count))


def _uniform(problem: Problem) -> list[Subnet]:
    """Nets with one choice in all blocks, inside the budget, the dearest first."""
    cost, space = problem.cost, problem.space
    nets = [net.at(size) for net in space.uniform() for size in space.listed]
    priced = [(cost.of(space, net), net) for net in nets]
    inside = [pair for pair in priced if pair[0] <= problem.budget]
    return [net for _, net in sorted(inside, key=lambda pair: -pair[0])]


def _filled(
    problem: Problem,
    nets: list[Subnet],
    scored: Collection[Subnet],
    count: int,
    rng: random.Random,
) -> list[Subnet]:
    """Up to `count`, by random nets near the budget, and anywhere if there are too few."""
    inside = problem.inside
    near = inside.least + NEAR * (inside.most - inside.least)
    for low in (near, inside.least):
        nets = nets + inside.fresh(rng, count - len(nets), {*scored, *nets}, low)
    return nets


def largest_inside(problem: Problem) -> Subnet:
    """The net that MACs alone would choose: the one with the most MACs under the budget.

    Exact, but for a MACs budget in spaces of over 10^8 nets: there it is the largest of 200 random
    nets in the budget's last ten-thousandth, or of the nets that cost less if there are none.
    """
    space, cost, inside = problem.space, problem.cost, problem.inside
    if inside.few is not None:
        return max(inside.few, key=lambda net: problem.macs.of(space, net))
    if cost.kind == "macs" and space.count * len(space.listed) > LISTED_MACS:
        rng = random.Random(0)
        for share in (0.9999, 0.99, 0.9, 0.0):
            low = inside.least + share * (inside.most - inside.least)
            nets = inside.fresh(rng, 200, (), low)
            if nets:
                return max(nets, key=lambda net: problem.macs.of(space, net))
    return BestSubnets(space, cost, problem.macs, inside.most).best(inside.most).subnet
