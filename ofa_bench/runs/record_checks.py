"""The loaders for record validation: spaces, candidates and planned phases. Torch-free."""

from __future__ import annotations

import functools

from ofa_bench.errors import UsageError
from ofa_bench.hooks.catalogue import NARROWED, trusted
from ofa_bench.planning.assemble import space_of
from ofa_bench.records.schema import Record
from ofa_bench.records.validation.validate import Context
from ofa_bench.runs.recorded_plan import plan_of
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
