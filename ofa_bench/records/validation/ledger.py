"""Whether a ledger follows from the schedule: exactly where the policies are known, else as far as
data, batch and budget determine it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import sqrt

from ofa_bench.records.schema import PhaseCost, Record
from ofa_bench.records.track import number, table
from ofa_bench.records.validation.findings import Finding, far
from ofa_bench.schedule import SHORTEST_BATCH

FORWARD_ONLY = ("teacher", "probe")
DEVIATIONS = 8.0  # of random draws from their expectation, in the largest standard deviation


@dataclass(frozen=True)
class PlannedPhase:
    """What a phase of the assembled run does: passes and expected MACs by role. `spread`: how far
    one draw of a role can lie from the expectation, in MACs per image; zero where it is certain."""

    name: str
    steps: int
    passes: Mapping[str, int]
    macs: Mapping[str, float]
    spread: Mapping[str, float]


@dataclass(frozen=True)
class RecordPlan:
    """What a record's science lays out: its phases, and its learning rates in the form of the
    record's field `rates`; None where the LR policy has none to tell."""

    phases: Sequence[PlannedPhase]
    rates: Mapping[str, Sequence[float | None]] | None


Planned = Callable[[Record], RecordPlan | str]
"""The plan of a record's science, or why it cannot be computed here."""


def ledger_findings(record: Record, planned: Planned | None) -> Iterator[Finding]:
    """Steps, images and epochs of every phase; passes and MACs where the policies are known."""
    yield from _images(record)
    yield from _budget(record)
    if planned is None or not record.cost.phases:
        return
    plan = planned(record)
    if isinstance(plan, str):
        yield Finding("cost.phases", f"cannot be recomputed here: {plan}", unknown=True)
    else:
        yield from _planned(record, plan.phases)
        yield from _rates(record, plan.rates)


def steps_per_epoch(record: Record) -> int | None:
    """As `Schedule.steps_per_epoch`, from the record; None where it holds no usable batch."""
    batch = number(table(record.science, "optim"), "batch", 0.0)
    images = record.task.splits.train.count
    if batch < 1 or images < 1:
        return None
    full, rest = divmod(images, int(batch))
    return (full + (rest >= SHORTEST_BATCH)) or None


def _images(record: Record) -> Iterator[Finding]:
    per_epoch, phases = steps_per_epoch(record), record.cost.phases
    if per_epoch is None:
        yield Finding("science.optim.batch", "does not go with the number of training images")
        return
    edges = [0, *accumulate(phase.steps for phase in phases)]
    for index, phase in enumerate(phases):
        where = f"cost.phases.{index}"
        images = _seen(record, per_epoch, edges[index + 1]) - _seen(record, per_epoch, edges[index])
        if phase.images != images:
            yield Finding(f"{where}.images", f"is {phase.images}, its steps see {images}")
        if far(phase.epochs, phase.steps / per_epoch):
            yield Finding(f"{where}.epochs", f"is {phase.epochs} for {phase.steps} steps")
        trained = sum(n for role, n in phase.passes.items() if role not in FORWARD_ONLY)
        if trained < images:
            yield Finding(f"{where}.passes", f"are {trained} that train, for {images} images")


def _seen(record: Record, per_epoch: int, step: int) -> int:
    """Images seen before a step."""
    images = record.task.splits.train.count
    batch = int(number(table(record.science, "optim"), "batch", 1.0))
    rest = images % batch
    whole = images - (rest if rest < SHORTEST_BATCH else 0)
    epochs, index = divmod(step, per_epoch)
    return epochs * whole + index * batch


def _budget(record: Record) -> Iterator[Finding]:
    """The length of a finished run, where the budget's rule gives it without its policies."""
    budget, per_epoch = table(record.science, "budget"), steps_per_epoch(record)
    if not record.good or per_epoch is None or record.status == "imported":
        return
    rule = budget.get("rule")
    epochs = number(budget, "epochs", 0.0)
    if rule == "paper" and number(budget, "reference", 0.0) > 0:
        epochs = number(budget, "reference", 0.0)
        epochs *= number(budget, "factor", 1.0) * number(budget, "scale", 1.0)
    elif rule != "epochs":
        return
    steps = sum(phase.steps for phase in record.cost.phases)
    if abs(steps - epochs * per_epoch) > len(record.cost.phases) + 1:
        yield Finding(
            "cost.phases", f"have {steps} steps, the budget of {epochs:g} epochs gives others"
        )


def _planned(record: Record, planned: Sequence[PlannedPhase]) -> Iterator[Finding]:
    phases = record.cost.phases
    names = [phase.name for phase in phases]
    if record.status != "imported" and (
        names != [phase.name for phase in planned][: len(names)]
        or (record.good and len(names) != len(planned))
    ):
        yield Finding("cost.phases", "are not those that the science lays out")
        return
    for index, (phase, plan) in enumerate(zip(phases, planned, strict=False)):
        whole = record.good or index < len(phases) - 1
        where = f"cost.phases.{index}"
        if phase.steps != plan.steps if whole else phase.steps > plan.steps:
            yield Finding(f"{where}.steps", f"is {phase.steps}, the science gives {plan.steps}")
        elif whole:
            yield from _roles(where, phase, plan)


def _roles(where: str, phase: PhaseCost, plan: PlannedPhase) -> Iterator[Finding]:
    for role in sorted({*phase.passes, *plan.passes}):
        passes, wanted = phase.passes.get(role, 0), plan.passes.get(role, 0)
        if passes != wanted:
            yield Finding(f"{where}.passes.{role}", f"is {passes}, the science gives {wanted}")
            continue
        macs, expected = phase.macs.get(role, 0), plan.macs.get(role, 0.0)
        slack = DEVIATIONS * plan.spread.get(role, 0.0) * passes / sqrt(max(1, phase.steps))
        if abs(macs - expected) > slack + 1e-9 * max(1.0, expected):
            yield Finding(
                f"{where}.macs.{role}", f"is {macs}, the science gives about {expected:.6g}"
            )


def _rates(
    record: Record, planned: Mapping[str, Sequence[float | None]] | None
) -> Iterator[Finding]:
    """The learning rates and shares that a record holds are those of its recipe."""
    if record.rates is None or planned is None:
        return
    for name, values in planned.items():
        stated = getattr(record.rates, name)
        same = len(stated) == len(values) and not any(
            (a is None) != (b is None) or (a is not None and b is not None and far(a, b))
            for a, b in zip(stated, values, strict=True)
        )
        if not same:
            yield Finding(f"rates.{name}", "is not what the recorded recipe gives")
