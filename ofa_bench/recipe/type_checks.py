"""Checks that pydantic does not make: booleans as numbers, numbers as booleans, absurd sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf
from typing import Any, get_args

from pydantic import BaseModel

from ofa_bench.strict import shown

LARGEST = 1e15  # of any number in a recipe: products of a few stay finite


def invalid_values(model: type[BaseModel], values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(dotted key, reason) of each invalid number."""
    for name, value in values.items():
        field = model.model_fields.get(name)
        if field is None:
            continue
        kinds = _kinds(field.annotation)
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if inner and isinstance(value, Mapping):
            yield from ((f"{name}.{key}", why) for key, why in invalid_values(inner[0], value))
            continue
        for leaf in _leaves(value):
            if isinstance(leaf, bool):
                if bool not in kinds and Any not in kinds:
                    yield name, f"is {str(leaf).lower()}, which is no number or name"
            elif kinds == {bool}:
                yield name, f"is {shown(leaf)}, which is neither true nor false"
            elif isinstance(leaf, int | float) and LARGEST < abs(leaf) < inf:
                # Infinity and NaN are told by the model itself.
                yield name, f"is {shown(leaf)}, which is beyond any use"


def _kinds(annotation: Any) -> set[Any]:
    parts = get_args(annotation)
    return {annotation}.union(*map(_kinds, parts)) if parts else {annotation}


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _leaves(part)
    else:
        yield value
