"""The spaces that a record speaks of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from ofa_bench.errors import UsageError
from ofa_bench.records.schema import Record
from ofa_bench.records.tables import SpaceTable, restored
from ofa_bench.sanitize import plain_text
from ofa_bench.space import Space, Subnet, load_space

Loader = Callable[[str], Space]


@lru_cache(maxsize=64)
def shipped_space(name: str) -> Space:
    """A space that comes with ofa-bench, read once. Raises UsageError if there is none."""
    return load_space(name)


def track_space(record: Record, load: Loader = shipped_space) -> Space:
    """The track's space, from its table in the record or from what is installed.

    UsageError where there is neither, or the space is not as described.
    """
    return _described(record, record.task.space.description, load)


def trained_space(record: Record, load: Loader = shipped_space) -> Space:
    """The part of it that the method trained; UsageError as `track_space`."""
    return _described(record, record.task.space.trained, load)


def _described(record: Record, description: Mapping[str, Any], load: Loader) -> Space:
    name, table = record.task.space.name, record.task.space.table
    try:
        return Space.from_description(named_space(name, table, load).table, description)
    except UsageError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"the description of {plain_text(name)!r} cannot be read: {plain_text(repr(error))}",
            "it should be what Space.describe gave",
        ) from error


def installed(record: Record, load: Loader) -> bool:
    """Whether the record's space can be counted here: by its own table, or by its name."""
    space = record.task.space
    try:
        _loaded(space.name, space.table, load)
    except UsageError:
        return False
    return True


def named_space(name: str, table: SpaceTable | None, load: Loader, files: str = "records") -> Space:
    """A space that a stranger's file names, whole; UsageError for a path, or where it is absent."""
    if "/" in name or "\\" in name or name.endswith(".toml"):
        raise UsageError(f"{plain_text(name)!r} is no space's name", f"{files} name spaces")
    return _loaded(name, table, load)


def _loaded(name: str, table: SpaceTable | None, load: Loader) -> Space:
    return load(name) if table is None else restored(name, table)


def recorded_net(space: Space, values: Mapping[str, Any]) -> Subnet:
    """A recorded subnet. Raises UsageError where it is none of the space, canonically written."""
    subnet = space.subnet(values)
    if subnet not in space or subnet.to_json() != values:
        raise UsageError("is not a net of the space, canonically written", "")
    return subnet


def budget_range(record: Record, load: Loader = shipped_space) -> tuple[int, int]:
    """MACs of the track's smallest and largest net, the ends of its budgets.

    Of a space that is not installed here, what the record's own candidates span.
    """
    classes = record.task.classes
    try:
        space = track_space(record, load)
        return space.macs(space.smallest, classes), space.macs(space.largest, classes)
    except UsageError:
        macs = [score.macs for score in record.scores]
        return min(macs, default=0), max(macs, default=0)
