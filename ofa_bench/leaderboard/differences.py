"""Where two records differ, by path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ofa_bench.records.schema import Record, plain

FOLLOW = ("seals", "sha256")  # these differ because something else does


class Difference(NamedTuple):
    """A field by its dotted path, and its value in each record; None where one has none."""

    path: str
    left: Any
    right: Any


def differences(a: Record, b: Record) -> list[Difference]:
    """Every leaf that two records do not share, in the order of the schema.

    Tables and lists are compared item by item; an item that one side lacks is one difference.
    """
    ours, theirs = plain(a), plain(b)
    return [
        difference
        for name in ours
        if name not in FOLLOW
        for difference in _between(ours[name], theirs[name], name)
    ]


def _between(left: Any, right: Any, path: str) -> Iterator[Difference]:
    ours, theirs = _items(left), _items(right)
    if ours is None or theirs is None or isinstance(left, Mapping) != isinstance(right, Mapping):
        if type(left) is not type(right) or left != right:
            yield Difference(path, left, right)
        return
    for key in [*ours, *(key for key in theirs if key not in ours)]:
        yield from _between(ours.get(key), theirs.get(key), f"{path}.{key}")


def _items(value: Any) -> dict[str, Any] | None:
    """What a table or list holds, by name or place; None for a leaf."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return {str(index): item for index, item in enumerate(value)}
    return None
