"""NSGA-II (Deb et al. 2002) by pymoo: evolution towards accurate and cheap nets."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from typing import Any

from ofa_bench.errors import UsageError
from ofa_bench.search.searcher import Problem
from ofa_bench.space.space import Space
from ofa_bench.space.subnet import Subnet

POPULATION = 50
OFFSPRING = 20  # broods bred before random nets fill a round


class Nsga2Searcher:
    """Proposes offspring of the best nets evaluated so far, random nets at first.

    Accuracy and cost are the two objectives; a net is one integer per stage depth, slot kernel,
    slot expand ratio and resolution; crossover is simulated binary and mutation polynomial, as
    pymoo sets them for NSGA-II. Children over the budget, or evaluated before, are bred again.
    Needs `pymoo`; raises UsageError where it is missing.
    """

    def propose(
        self, problem: Problem, scored: Mapping[Subnet, float], count: int, rng: random.Random
    ) -> list[Subnet]:
        _pymoo()
        left = problem.inside.left(scored)
        if left is not None and len(left) <= count:
            return left
        nets: list[Subnet] = []
        if len(scored) >= 2:
            nets = self._bred(problem, scored, count, rng)
        return nets + problem.random_nets(rng, count - len(nets), {*scored, *nets})

    def _bred(
        self, problem: Problem, scored: Mapping[Subnet, float], count: int, rng: random.Random
    ) -> list[Subnet]:
        genes = _Genes(problem.space)
        algorithm = _evolution(problem, scored, genes, rng.randrange(2**32))
        nets: dict[Subnet, None] = {}
        for _ in range(OFFSPRING):
            brood = algorithm.mating.do(
                algorithm.problem,
                algorithm.pop,
                count,
                random_state=algorithm.random_state,
                n_max_iterations=2,
                algorithm=algorithm,
            )
            for child in brood:
                net = genes.subnet(child.X)
                if net is None or net in scored or len(nets) == count:
                    continue
                if problem.cost.of(problem.space, net) <= problem.budget:
                    nets[net] = None
            if len(nets) == count:
                break
        return list(nets)


class _Genes:
    """Nets as vectors of indices into the choices of each axis."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._stages = list(zip(space.options, space.blocks, strict=True))
        self.choices: list[tuple[int, ...]] = [space.listed]
        for option, slots in self._stages:
            self.choices.append(option.depth)
            self.choices += [axis for _ in slots for axis in (option.kernel, option.expand)]

    def vector(self, net: Subnet) -> list[int]:
        """The net's indices; those of inactive blocks are 0."""
        values: list[int | None] = [net.resolution]
        for stage, (_, slots) in enumerate(self._stages):
            values.append(self._space.depth_of(net, stage))
            values += [axis for slot in slots for axis in (net.kernel[slot], net.expand[slot])]
        return [
            0 if value is None else axis.index(value)
            for value, axis in zip(values, self.choices, strict=True)
        ]

    def subnet(self, vector: Collection[int]) -> Subnet | None:
        """The net of these indices; None if its depths do not go with its expand ratios."""
        values = iter(axis[int(index)] for index, axis in zip(vector, self.choices, strict=True))
        size, stages = next(values), []
        for _, slots in self._stages:
            depth = next(values)
            blocks = [(next(values), next(values)) for _ in slots]
            stages.append(blocks[:depth])
        net = self._space.compose(stages, size)
        return net if net in self._space else None


def _pymoo() -> None:
    try:
        import pymoo.algorithms.moo.nsga2  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "the searcher nsga2 needs pymoo", "install it: pip install 'ofa-bench[search]'"
        ) from error


def _evolution(problem: Problem, scored: Mapping[Subnet, float], genes: _Genes, seed: int) -> Any:
    """pymoo's NSGA-II, its population being the survivors of the evaluated nets."""
    import numpy as np
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.population import Population
    from pymoo.core.problem import Problem as Objectives
    from pymoo.operators.crossover.sbx import SBX
    from pymoo.operators.mutation.pm import PM
    from pymoo.operators.repair.rounding import RoundingRepair

    ends = np.array([len(axis) - 1 for axis in genes.choices])
    objectives = Objectives(n_var=len(ends), n_obj=2, xl=0, xu=ends, vtype=int)
    evaluated = Population.new(
        X=np.array([genes.vector(net) for net in scored]),
        F=np.array([(-top1, problem.cost.of(problem.space, net)) for net, top1 in scored.items()]),
    )
    algorithm = NSGA2(
        pop_size=min(POPULATION, len(scored)),
        sampling=evaluated,
        crossover=SBX(prob=0.9, eta=15, vtype=float, repair=RoundingRepair()),
        mutation=PM(eta=20, vtype=float, repair=RoundingRepair()),
    )
    algorithm.setup(objectives, seed=seed, termination=("n_gen", 2))
    algorithm.pop = algorithm.survival.do(
        objectives, evaluated, n_survive=algorithm.pop_size, random_state=algorithm.random_state
    )
    return algorithm
