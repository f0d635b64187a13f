"""What a step trains: subnets, each in a role."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

from ofa_bench.space import Space, Subnet


class Role(StrEnum):
    """Why a subnet is run; the cost ledger counts passes by role."""

    LARGEST = "largest"
    SMALLEST = "smallest"
    SAMPLED = "sampled"
    TEACHER = "teacher"
    PROBE = "probe"


@dataclass(frozen=True, slots=True)
class Draw:
    """One subnet to train in one step.

    `regularized` switches dropout on; BigNAS and DεpS regularise the largest net only
    (BigNAS section 3.2, "regularize only the biggest").
    """

    subnet: Subnet
    role: Role
    regularized: bool = True


def sandwich(
    space: Space,
    rng: random.Random,
    *,
    sampled: int = 2,
    smallest: bool = True,
    measure: str = "dims",
    regularize_sampled: bool = False,
) -> list[Draw]:
    """Largest, smallest and `sampled` random subnets, in training order (US-Nets; BigNAS 3.1)."""
    draws = [Draw(space.largest, Role.LARGEST)]
    if smallest:
        draws.append(Draw(space.smallest, Role.SMALLEST, regularize_sampled))
    for _ in range(sampled):
        subnet = space.sample(rng, measure=measure)
        draws.append(Draw(subnet, Role.SAMPLED, regularize_sampled))
    return draws


def largest_only(space: Space) -> Space:
    """The subspace of the largest architecture, at every resolution of the space.

    A phase on it leaves parameters that only smaller nets use, such as kernel matrices, alone.
    """
    return space.only(
        kernel=[(stage.kernel[-1],) for stage in space.options],
        expand=[(stage.at(stage.depth[-1])[-1],) for stage in space.options],
        depth=[(stage.depth[-1],) for stage in space.options],
    )
