"""The spaces that a record speaks of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ofa_bench.errors import UsageError
from ofa_bench.records.render import plain_text
from ofa_bench.records.schema import Record
from ofa_bench.space import Space, load_space

Loader = Callable[[str], Space]


def track_space(record: Record, load: Loader = load_space) -> Space:
    """The track's space; UsageError where it is not installed or not as described."""
    return described(record.task.space.name, record.task.space.description, load)


def trained_space(record: Record, load: Loader = load_space) -> Space:
    """The part of it that the method trained; UsageError as `track_space`."""
    return described(record.task.space.name, record.task.space.trained, load)


def described(name: str, description: Mapping[str, Any], load: Loader = load_space) -> Space:
    """A space by its table's name and its description."""
    if "/" in name or "\\" in name or name.endswith(".toml"):
        raise UsageError(f"{plain_text(name)!r} is no space's name", "records name spaces")
    try:
        return Space.from_description(load(name).table, description)
    except UsageError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"the description of {plain_text(name)!r} cannot be read: {plain_text(repr(error))}",
            "it should be what Space.describe gave",
        ) from error


def budget_range(record: Record) -> tuple[int, int]:
    """MACs of the track's smallest and largest net, the ends of its budgets.

    Of a space that is not installed here, what the record's own candidates span.
    """
    classes = record.task.classes
    try:
        space = track_space(record)
        return space.macs(space.smallest, classes), space.macs(space.largest, classes)
    except UsageError:
        macs = [score.macs for score in record.scores]
        return min(macs, default=0), max(macs, default=0)
