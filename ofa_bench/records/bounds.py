"""What no real record holds: nesting, numbers and texts that only serve to break a reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEEPEST = 24  # a record's own nesting is under ten
LARGEST_NUMBER = 1e30  # training MACs of a century on all GPUs there are
LONGEST_KEY = 300


def check_bounds(value: Any, depth: int = 0) -> None:
    """Raise ValueError on JSON that no run could have written."""
    if depth > DEEPEST:
        raise ValueError(f"it is nested over {DEEPEST} levels deep")
    if isinstance(value, Mapping):
        for key in value:
            if len(key) > LONGEST_KEY:
                raise ValueError(f"a key has over {LONGEST_KEY} characters")
            _check_text(key)
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            if type(inner) in (float, int):  # most of a record; a call for each would take its time
                _check_number(inner)
            elif type(inner) is not str or not inner.isascii():
                check_bounds(inner, depth + 1)
    elif isinstance(value, str):
        _check_text(value)
    elif isinstance(value, int | float):
        _check_number(value)


def _check_number(value: float) -> None:
    if not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
        raise ValueError(f"it holds a number beyond {LARGEST_NUMBER:.0e}")


def _check_text(text: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("a text holds half a character (a lone surrogate)") from None
