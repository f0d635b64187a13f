"""Shared beginnings: two runs are identical until something that affects training differs.

What acts is the policies' *answers* (phases, draws, rates, teachers) and the source of each loss,
not their names. Answers are compared phase by phase. A pure policy of the same source and options
gives the same answers to the same questions, and in a phase of one subnet a shrink policy has
nothing to choose. The learning rates of such a phase are compared at a few steps when a comparison
is planned, and at every step before a state is taken over (`proof`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from ofa_bench.draws import Draw, Role
from ofa_bench.errors import PluginError
from ofa_bench.planning.assemble import Assembly
from ofa_bench.planning.identity import network_hash
from ofa_bench.recipe.fingerprint import NUMERICS, canonical, source_of
from ofa_bench.schedule import Step
from ofa_bench.seeding import digest

SHARED = "shared"  # the folder, beside those of the runs
# Act by their answers alone, or not at all.
APART = ("extras", "method", "shrink", "lr", "distill", "budget", "evaluate")
PROBES = 64  # steps of a phase at which a plan compares rates


class Beginning:
    """Digests of what affects a run's first steps: equal digests mean identical training."""

    def __init__(self, assembly: Assembly) -> None:
        self.assembly = assembly
        policies = assembly.recipe.policies
        # The answers of a policy that learns from feedback are not known beforehand.
        self.known = all(policy.pure for policy in policies.values())
        self.edges = assembly.schedule.edges if self.known else (0,)
        self._codes = {
            family: (source_of(policy).hash, canonical(policy.options.model_dump(mode="json")))
            for family, policy in policies.items()
        }
        self.digest = lru_cache(maxsize=None)(self._digest)

    @cached_property
    def family(self) -> str:
        """Equal for runs whose first step is the same, which therefore may share a beginning. A run
        whose answers are not known beforehand has a family of its own."""
        return (self.digest(1) if self.known else digest("alone", id(self)))[:32]

    def _digest(self, steps: int) -> str:
        """What acted before step `steps`, compared at a few steps of a phase."""
        try:
            phases = [self._phase(number, end) for number, end in self._phases(steps)]
        except PluginError:  # nothing is shared with a policy that fails; the run itself says so
            return digest("fails", id(self))
        return digest(self._start, *phases)

    def proof(self, steps: int) -> str:
        """As `digest`, with the rates of every step of the phases whose rates were only probed."""
        rates = []
        for number, end in self._phases(steps):
            if self._alone(number):
                draws = self._draws(self.edges[number])
                rates += [self._rates(step, draws) for step in self._steps(number, end)]
        return digest(self.digest(steps), rates)

    def _phases(self, steps: int) -> Iterator[tuple[int, int]]:
        """The phases begun before a step, and where each ends or is cut."""
        for number, (first, last) in enumerate(pairwise(self.edges)):
            if first < steps:
                yield number, min(last, steps)

    def _steps(self, number: int, end: int) -> Iterator[Step]:
        return map(self.assembly.schedule.step, range(self.edges[number], end))

    @cached_property
    def _start(self) -> str:
        assembly = self.assembly
        science = assembly.science.model_dump(mode="json")
        values = {name: value for name, value in science.items() if name not in APART}
        bus = assembly.bus
        acting = {name: part for name, part in bus.extras.items() if name not in bus.watchers}
        extras = {name: source_of(extra).hash for name, extra in acting.items()}
        schedule = assembly.schedule
        sizes = (dict(assembly.sizes), schedule.batch, schedule.norm_batch, assembly.classes)
        execution = assembly.recipe.execution
        return digest(
            canonical([values, extras, execution.init, execution.teacher]),
            (assembly.recipe.seed, sizes, assembly.space.fingerprint()),
            (network_hash(assembly), NUMERICS),
        )

    def _phase(self, number: int, end: int) -> str:
        """A phase up to step `end`: how it begins, its losses, its draws and its rates."""
        phase = self.assembly.schedule.phases[number]
        teacher = self.assembly.teachers.get(phase.name)
        begins = (phase.name, phase.fresh, phase.sort, phase.space.fingerprint(), repr(teacher))
        losses = [(role, self._loss(role, teacher is not None)) for role in sorted(phase.passes)]
        if self._alone(number):
            return digest(begins, losses, self._probed(number, end))
        # Every draw and rate may depend on all that a step tells, so all of that must agree.
        schedule = self.assembly.schedule
        time = (self.edges, number, end, schedule.budget, schedule.base_lr, schedule.warmup)
        lengths = [(p.epochs, dict(p.passes), p.peak, p.warmup, p.fresh) for p in schedule.phases]
        return digest(begins, losses, time, lengths, self._codes["shrink"], self._codes["lr"])

    def _alone(self, number: int) -> bool:
        """Whether a phase has one subnet, so that its draws are known from its first step."""
        space = self.assembly.schedule.phases[number].space
        return len(space.resolutions) == 1 and space.largest == space.smallest

    def _probed(self, number: int, end: int) -> list[Any]:
        first = self.edges[number]
        stride = max(1, (end - first) // PROBES)
        steps = sorted({*range(first, end, stride), end - 1})
        draws = self._draws(first)
        rates = [self._rates(self.assembly.schedule.step(index), draws) for index in steps]
        return [end - first, draws, self._draws(end - 1), rates]

    def _draws(self, index: int) -> Sequence[Draw]:
        return self.assembly.bus.draws(self.assembly.schedule.step(index), _no_probe)

    def _rates(self, step: Step, draws: Sequence[Draw]) -> tuple[float, list[float]]:
        bus = self.assembly.bus
        return bus.lr_at(step), [bus.lr_share(step, draw) for draw in draws]

    def _loss(self, role: Role, taught: bool) -> object:
        """The distillation policy's code; none where a role's loss is the plain criterion: by its
        word, or for want of the teacher it learns from (the contract suite tries both)."""
        policy = self.assembly.recipe.policies["distill"]
        plain = role in policy.labels_only or (policy.needs_teacher and not taught)
        return "" if plain else self._codes["distill"]


def shared_folder(results: Path) -> Path:
    """Where families of runs keep the states that they share, each in a folder of its own."""
    return results / "runs" / SHARED


def _no_probe(subnet: object) -> float:
    raise AssertionError("a pure policy does not probe")


def common(one: Beginning, other: Beginning) -> int:
    """The number of steps two runs share, up to a phase edge; -1 if they start differently."""
    if one.digest(0) != other.digest(0):
        return -1
    last = min(one.edges[-1], other.edges[-1])
    agreed = 0
    for edge in sorted({*one.edges, *other.edges}):
        if edge > last or one.digest(edge) != other.digest(edge):
            break
        agreed = edge
    return agreed


def branch_points(runs: Sequence[Beginning]) -> list[tuple[int, frozenset[int]]]:
    """For each run, in order: the step it can start from using an earlier run's state, and the
    steps at which it must save its state for later runs."""
    starts: list[int] = []
    leave: list[set[int]] = [set() for _ in runs]
    for number, run in enumerate(runs):
        shared = [(common(run, runs[before]), before) for before in range(number)]
        steps = max((agreed for agreed, _ in shared), default=0)
        starts.append(max(steps, 0))
        if steps > 0:
            # The first that passes this step leaves it: later ones may begin beyond it.
            donor = next(before for agreed, before in shared if agreed == steps)
            leave[donor].add(steps)
    return [(start, frozenset(steps)) for start, steps in zip(starts, leave, strict=True)]


def families(runs: Sequence[Beginning]) -> list[list[int]]:
    """The runs, by number, grouped by family, in order."""
    groups: dict[str, list[int]] = {}
    for number, run in enumerate(runs):
        groups.setdefault(run.family, []).append(number)
    return list(groups.values())


def saved_macs(assembly: Assembly, start: int) -> float:
    """Training MACs saved by starting a run at a step."""
    edges = assembly.schedule.edges
    saved = 0.0
    for cost, (first, last) in zip(assembly.cost, pairwise(edges), strict=True):
        done = min(max(start - first, 0), last - first)
        saved += cost.total * done / (last - first)
    return saved


@dataclass(frozen=True)
class Shared:
    """States shared by the runs of one comparison, stored by the digest of the steps before."""

    folder: Path
    beginning: Beginning
    salt: str  # the data's hash and the thread count, which bits depend on
    leave: frozenset[int] = frozenset()

    def name(self, step: int) -> str:
        """What the first `step` updates are called in the records of all that share them."""
        return digest(self.beginning.digest(step), self.salt)[:32]

    def path(self, step: int) -> Path:
        """The file of the state after `step` updates."""
        return self.folder / f"{step:09d}-{self.name(step)}.pt"

    def latest(self) -> Path | None:
        """The state furthest on that this run may begin with."""
        files = sorted(self.folder.glob("[0-9]*-*.pt"), reverse=True)
        steps = (int(path.name.partition("-")[0]) for path in files)
        last = self.beginning.edges[-1]
        pairs = zip(files, steps, strict=True)
        return next(
            (path for path, step in pairs if step <= last and path == self.path(step)), None
        )
