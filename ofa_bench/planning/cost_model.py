"""Predicted cost: passes and expected MACs of each phase, by role."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ofa_bench.draws import Role
from ofa_bench.hooks.hookspecs import Teacher
from ofa_bench.schedule import Phase, Schedule
from ofa_bench.space import Space, Subnet

TRAINED_PASS = 3  # a trained pass costs three forward passes: one forward, two backward
FORWARD_ONLY = frozenset({Role.TEACHER, Role.PROBE})


@dataclass(frozen=True)
class ExpectedCost:
    """A phase's predicted epochs, steps, images; passes (subnets × images) and MACs by role."""

    name: str
    epochs: float
    steps: int
    images: int
    passes: Mapping[Role, int]
    macs: Mapping[Role, float]

    @property
    def total(self) -> float:
        return sum(self.macs.values())


def macs_per_image(
    phase: Phase, teacher: Teacher | None, classes: int, measure: str, probed: float
) -> dict[Role, float]:
    """Expected MACs for one training image in a step of the phase, by role.

    `probed`: the share of a step's images that a probe sees, which are its first micro-batch.
    """
    space = phase.space
    forward: dict[Role, float] = {
        Role.LARGEST: mean_macs(space, space.largest, classes),
        Role.SMALLEST: mean_macs(space, space.smallest, classes),
        Role.SAMPLED: space.mean_macs(classes, measure),
        Role.PROBE: space.mean_macs(classes, measure) * probed,
    }
    costs = {
        role: count * forward[role] * (1 if role in FORWARD_ONLY else TRAINED_PASS)
        for role, count in phase.passes.items()
        if count
    }
    if teacher is not None:
        costs[Role.TEACHER] = mean_macs(space, teacher.subnet, classes)
    return costs


def mean_macs(space: Space, subnet: Subnet, classes: int) -> float:
    """MACs of an architecture, averaged over the resolutions that training may draw."""
    sizes = space.resolutions
    return sum(space.macs(subnet.at(size), classes) for size in sizes) / len(sizes)


def predict(
    schedule: Schedule, teachers: Mapping[str, Teacher | None], classes: int, measure: str
) -> list[ExpectedCost]:
    """The predicted cost of each phase of a schedule."""
    costs = []
    for number, phase in enumerate(schedule.phases):
        first, last = schedule.edges[number], schedule.edges[number + 1]
        images = schedule.seen(last) - schedule.seen(first)
        teacher = teachers.get(phase.name)
        passes = {role: count * images for role, count in phase.passes.items() if count}
        probed = _probed(schedule, last) - _probed(schedule, first)
        if Role.PROBE in passes:
            passes[Role.PROBE] = phase.passes[Role.PROBE] * probed
        if teacher is not None:
            passes[Role.TEACHER] = images
        per_image = macs_per_image(phase, teacher, classes, measure, probed / images)
        macs = {role: images * cost for role, cost in per_image.items()}
        costs.append(ExpectedCost(phase.name, phase.epochs, last - first, images, passes, macs))
    return costs


def _probed(schedule: Schedule, index: int) -> int:
    """Images that one probe a step sees before a step: those of the first micro-batches."""
    epochs, step_in_epoch = divmod(index, schedule.steps_per_epoch)
    cuts = [schedule.cuts(number)[0] for number in (0, schedule.steps_per_epoch - 1)]
    full, last = (stop - start for _, start, stop in cuts)
    return epochs * ((schedule.steps_per_epoch - 1) * full + last) + step_in_epoch * full
