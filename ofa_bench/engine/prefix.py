"""Shared beginnings: two runs are the same run for as long as nothing that acts differs.

What acts is the policies' *answers* (phases, draws, rates, teachers) and the source of each loss,
not their names; so a chain of digests over the steps says how long two runs agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from ofa_bench.draws import Role
from ofa_bench.engine.assemble import Assembly
from ofa_bench.engine.identity import network_hash
from ofa_bench.errors import PluginError
from ofa_bench.keys import digest
from ofa_bench.recipe.fingerprint import NUMERICS, canonical, source_of
from ofa_bench.schedule import Phase

SHARED = "shared"  # the folder, beside those of the runs
# Act by their answers alone, or not at all.
APART = ("extras", "method", "shrink", "lr", "distill", "budget", "evaluate")


def chain(assembly: Assembly) -> list[str]:
    """The digest of everything that acted before step n, for n from 0 to the end.

    Just the start where a policy learns from feedback: its answers are not known beforehand. Up to
    the step at which a policy fails, where one does: the run itself will say so.
    """
    policies = assembly.recipe.policies.values()
    digests = [_start(assembly)]
    if all(policy.pure for policy in policies):
        with suppress(PluginError):
            for acted in _actions(assembly):
                digests.append(digest(digests[-1], acted))
    return digests


def _start(assembly: Assembly) -> str:
    science = assembly.science.model_dump(mode="json")
    told = {name: value for name, value in science.items() if name not in APART}
    acting = {n: extra for n, extra in assembly.bus.extras.items() if n not in assembly.watchers}
    extras = {name: source_of(extra).hash for name, extra in acting.items()}
    schedule = assembly.schedule
    sizes = (dict(assembly.sizes), schedule.batch, schedule.norm_batch, assembly.classes)
    execution = assembly.recipe.execution
    return digest(
        canonical([told, extras, execution.init, execution.teacher]),
        (assembly.recipe.seed, sizes, assembly.space.fingerprint()),
        (network_hash(assembly), NUMERICS),
    )


def _actions(assembly: Assembly) -> Iterator[tuple[Any, ...]]:
    schedule, bus = assembly.schedule, assembly.bus
    distill = assembly.recipe.policies["distill"]
    learned = (canonical(assembly.science.distill.model_dump()), source_of(distill).hash)

    def no_probe(subnet: object) -> float:
        raise AssertionError("a pure policy does not probe")

    for index in range(schedule.steps):
        step = schedule.step(index)
        draws = bus.draws(step, no_probe)
        taught = assembly.teachers.get(step.phase.name) is not None
        acted = [
            (draw, bus.lr_share(step, draw), "" if _plain(draw.role, distill, taught) else learned)
            for draw in draws
        ]
        begins = _begins(assembly, step.phase) if step.phase_step == 0 else ()
        yield (bus.lr_at(step), acted, begins)


def _plain(role: Role, distill: Any, taught: bool) -> bool:
    """Whether a role's loss is the plain criterion, whatever the policy is called: by its word, or
    for want of the teacher that it learns from (the contract suite tries both)."""
    return role in distill.labels_only or (distill.needs_teacher and not taught)


def _begins(assembly: Assembly, phase: Phase) -> tuple[Any, ...]:
    teacher = assembly.teachers.get(phase.name)
    return (phase.name, phase.fresh, phase.sort, phase.space.fingerprint(), repr(teacher))


def common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many steps two chains agree."""
    length = min(len(one), len(other))
    return next((n for n in range(length) if one[n] != other[n]), length) - 1


def branch_points(chains: Sequence[Sequence[str]]) -> list[tuple[int, frozenset[int]]]:
    """For each run, in order: where it can begin thanks to those before it, and the steps at which
    it must leave its state for those after it."""
    starts: list[int] = []
    leave: list[set[int]] = [set() for _ in chains]
    for place, own in enumerate(chains):
        shared = [(common(own, chains[before]), before) for before in range(place)]
        steps = max((agreed for agreed, _ in shared), default=0)
        starts.append(max(steps, 0))
        if steps > 0:
            # The first that passes this step leaves it: later ones may begin beyond it.
            donor = next(before for agreed, before in shared if agreed == steps)
            leave[donor].add(steps)
    return [(start, frozenset(steps)) for start, steps in zip(starts, leave, strict=True)]


def saved_macs(assembly: Assembly, start: int) -> float:
    """Training MACs that a run beginning at a step does not spend again."""
    edges = assembly.schedule.edges
    saved = 0.0
    for cost, (first, last) in zip(assembly.cost, pairwise(edges), strict=True):
        done = min(max(start - first, 0), last - first)
        saved += cost.total * done / (last - first)
    return saved


@dataclass(frozen=True)
class Shared:
    """States that runs of one comparison leave for each other, by what acted before them."""

    folder: Path
    chain: tuple[str, ...]
    salt: str  # the data's hash and the thread count, which bits depend on
    leave: frozenset[int] = frozenset()

    def name(self, step: int) -> str:
        """What the first `step` updates are called in the records of all that share them."""
        return digest(self.chain[step], self.salt)[:32]

    def path(self, step: int) -> Path:
        """The file of the state after `step` updates."""
        return self.folder / f"{self.name(step)}.pt"

    def latest(self) -> Path | None:
        """The state furthest on that this run may begin with."""
        held = set(self.folder.iterdir()) if self.folder.is_dir() else set()
        found = (self.path(step) for step in range(len(self.chain) - 1, 0, -1))
        return next((path for path in found if path in held), None)
