"""What validation recomputes of a record: its space, its candidates, and the plan of its run.
Torch-free."""

from __future__ import annotations

import functools
from math import sqrt

from ofa_bench.errors import BenchError, UsageError
from ofa_bench.hooks.catalogue import NARROWED, OURS, Catalogue, trusted
from ofa_bench.planning.assemble import Assembly, assemble, space_of
from ofa_bench.planning.cost_model import FORWARD_ONLY, TRAINED_PASS
from ofa_bench.planning.forecast import Forecast
from ofa_bench.recipe.fingerprint import CodeSource, source_of
from ofa_bench.records.schema import PolicyRecord, Record
from ofa_bench.records.validation.ledger import DEVIATIONS, PlannedPhase, RecordPlan
from ofa_bench.records.validation.validate import Context
from ofa_bench.runs.recorded_request import request_for, with_table
from ofa_bench.space import Space, Subnet


@functools.lru_cache(maxsize=64)
def recorded_space(name: str) -> Space:
    """The space that a record names. Raises UsageError unless its plugin is `trusted`."""
    known = trusted()
    if name not in known.names("space"):
        raise UsageError(
            f"space {name!r} does not come with ofa-bench",
            f"if a plugin that you trust gives it, name that plugin in {NARROWED}",
        )
    return space_of(name, known)


def expected_candidates(record: Record, space: Space, trained: Space) -> list[Subnet]:
    """The candidates that a record's track requires of a method that trained `trained`."""
    from ofa_bench.evaluation.candidates import candidates

    evaluate = record.science["evaluate"]
    return candidates(
        space,
        trained,
        per_bucket=evaluate["per_bucket"],
        buckets=evaluate["buckets"],
        classes=record.task.classes,
    )


def record_checks(candidates: bool = True) -> Context:
    """The validation context of records.

    Without `candidates`, which take seconds for a large space, their hash is not checked.
    """
    expected = expected_candidates if candidates else None
    return Context(load=recorded_space, expected=expected, planned=plan_of)


def plan_of(record: Record) -> RecordPlan | str:
    """Every phase's steps, passes and MACs, and the rates; or why they are unknown; see
    `reassembled`."""
    assembly = reassembled(record)
    if isinstance(assembly, str):
        return assembly
    phases = []
    for phase, cost in zip(assembly.schedule.phases, assembly.cost, strict=True):
        teacher = assembly.teachers.get(phase.name)
        passes = {role.value: count for role, count in cost.passes.items() if count}
        macs = {role.value: macs for role, macs in cost.macs.items() if cost.passes.get(role)}
        spread = {
            role.value: _spread(phase.space, role.value, assembly.classes)
            * (1 if role in FORWARD_ONLY else TRAINED_PASS)
            for role in cost.passes
        }
        if not assembly.recipe.policies["shrink"].pure:
            # Draws chosen by what the network does may all lie at one end, however many they are.
            spread["sampled"] = spread.get("sampled", 0.0) * max(1.0, sqrt(cost.steps) / DEVIATIONS)
        if teacher is not None and len(phase.space.resolutions) == 1:
            spread["teacher"] = 0.0
        phases.append(PlannedPhase(cost.name, cost.steps, passes, macs, spread))
    return RecordPlan(phases, Forecast(assembly).rates())


def _spread(space: Space, role: str, classes: int) -> float:
    """Half the range of MACs that a role's draws can have; 0 for a fixed subnet."""
    sizes = space.resolutions
    low, high = space.smallest, space.largest
    if role in ("largest", "teacher"):
        low = high
    elif role == "smallest":
        high = low
    return (space.macs(high.at(max(sizes)), classes) - space.macs(low.at(min(sizes)), classes)) / 2


def reassembled(record: Record) -> Assembly | str:
    """The run assembled from its record, or the reason why it cannot be.

    Only bundled policies whose code equals the record's are used; nothing else that a record names
    is imported.
    """
    catalogue = trusted()
    reason = _foreign(record, catalogue)
    if reason is not None:
        return reason
    weights = [name for name in ("init", "teacher") if record.execution.get(name)]
    splits = record.task.splits
    sizes = {name: getattr(splits, name).count for name in ("train", "select", "test")}
    try:
        catalogue = with_table(record, catalogue)
        request = request_for(record, catalogue, **dict.fromkeys(weights, "as recorded"))
        return assemble(request, catalogue, (record.task.classes, sizes))
    except BenchError as error:
        return error.message
    except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
        return f"its recipe makes no sense: {error}"


def _foreign(record: Record, catalogue: Catalogue) -> str | None:
    """Why a record's parts may not be imported; None if all are bundled and unchanged."""
    science, method = record.science, record.method
    carried = record.task.space.table is not None
    if not carried and str(science.get("space")) not in catalogue.names("space"):
        return "its space is not installed here"
    choices = [science.get(f) for f in ("shrink", "lr", "distill")]
    names = [choice.get("name") if isinstance(choice, dict) else None for choice in choices]
    parts = [("shrink", method.shrink), ("lr", method.lr), ("distill", method.distill)]
    extras = [extra.name for extra in method.extras]
    if [policy.name for _, policy in parts] != names or list(science.get("extras", [])) != extras:
        return "its science and its method name different policies"
    for kind, policy in [*parts, *(("extra", extra) for extra in method.extras)]:
        if policy.distribution != OURS:
            return f"its {kind} policy {policy.name} is of the plugin {policy.distribution}"
        if not _unchanged(kind, policy, catalogue):
            return f"its {kind} policy {policy.name} is not the one that comes with this version"
    return None


def _unchanged(kind: str, policy: PolicyRecord, catalogue: Catalogue) -> bool:
    known = policy.name in catalogue.names(kind)
    if not known or catalogue.get(kind, policy.name).origin.distribution != OURS:
        return False
    source = _source(kind, policy.name)
    return source.hash == policy.source.hash or source.text == policy.source.text


@functools.lru_cache(maxsize=256)
def _source(kind: str, name: str) -> CodeSource:
    return source_of(trusted().get(kind, name).load())
