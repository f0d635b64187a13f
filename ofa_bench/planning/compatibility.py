"""Checks that the chosen policies are compatible, before any data is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ofa_bench.draws import Draw, Role
from ofa_bench.errors import MisfitError, PolicyError
from ofa_bench.hooks.hookspecs import Snapshot, Teacher
from ofa_bench.planning.cost_model import FORWARD_ONLY
from ofa_bench.recipe.models import Science
from ofa_bench.schedule import Phase, Step


def check_fit(
    science: Science,
    policies: Mapping[str, Any],
    phases: Sequence[Phase],
    teachers: Mapping[str, Teacher | None],
) -> None:
    """Raise MisfitError, naming both policies and possible fixes, if they are incompatible."""
    shrink, distill, lr = science.shrink.name, science.distill.name, science.lr.name
    for role in sorted(policies["distill"].needs):
        lacking = next((p for p in phases if not p.passes.get(role)), None)
        if lacking is not None:
            raise MisfitError(
                f"distill {distill!r} learns from the {role} net, but shrink {shrink!r} does not "
                f"draw it in phase {lacking.name!r}",
                "choose a shrink policy that draws it in every phase (sandwich, delayed), or "
                "--distill labels or frozen",
            )
    if policies["distill"].needs_teacher and not any(teachers.values()):
        raise MisfitError(
            f"distill {distill!r} needs a frozen teacher, but shrink {shrink!r} has no earlier "
            "phase that trained the largest net",
            "choose a shrink policy that begins with the largest net (progressive, coupled, "
            "delayed), give --teacher FILE|RUN, or choose --distill inplace or labels",
        )
    for phase in phases:
        _check_snapshot(phase, teachers.get(phase.name), phases, distill, shrink)
    if policies["lr"].needs_ramp and all(p.fresh or i == 0 for i, p in enumerate(phases)):
        raise MisfitError(
            f"lr {lr!r} ramps up where a phase continues another, but shrink {shrink!r} has no "
            "such phase",
            "choose --shrink delayed, or --lr cosine",
        )


def _check_snapshot(
    phase: Phase, teacher: Teacher | None, phases: Sequence[Phase], distill: str, shrink: str
) -> None:
    if not isinstance(teacher, Snapshot):
        return
    names = [p.name for p in phases]
    if teacher.at not in names or names.index(teacher.at) > names.index(phase.name):
        raise MisfitError(
            f"distill {distill!r} wants a teacher taken as phase {teacher.at!r} begins, but shrink "
            f"{shrink!r} has no such phase before {phase.name!r}",
            f"its phases are: {', '.join(names)}",
        )
    before = phases[: names.index(teacher.at)]
    if not any(p.passes.get(Role.LARGEST) for p in before):
        raise MisfitError(
            f"distill {distill!r} would learn from an untrained net: shrink {shrink!r} trains the "
            f"largest net in no phase before {teacher.at!r}",
            "give --teacher FILE|RUN, or choose --distill labels",
        )


def check_draws(step: Step, draws: Sequence[Draw], science: Science) -> None:
    """Raise PolicyError unless a phase's first draws lie in its space and match its `passes`."""
    phase = step.phase
    counts = {role: sum(draw.role == role for draw in draws) for role in Role}
    declared = {role: phase.passes.get(role, 0) for role in Role if role not in FORWARD_ONLY}
    drawn = {role: counts[role] for role in declared}
    where = f"shrink policy {science.shrink.name!r}, phase {phase.name!r}, step {step.index}"
    if drawn != declared:
        raise PolicyError(
            f"{where}: drew {_roles(drawn)} where `passes` declares {_roles(declared)}",
            "declare in Phase.passes what shrink_draws returns",
        )
    for draw in draws:
        if draw.subnet not in phase.space:
            raise PolicyError(
                f"{where}: {draw.subnet} is not in the phase's space", "sample from phase.space"
            )


def _roles(counts: Mapping[Role, int]) -> str:
    return ", ".join(f"{count} {role}" for role, count in counts.items() if count) or "nothing"
