"""Sanity checks on values from untrusted files and options."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

DEEPEST = 16  # tables in tables, lists in lists
LONGEST_NUMBER = 64  # characters
SHOWN = 60  # characters of a value in a message
INTEGER_BITS = 63  # as TOML has them


def shown(value: object) -> str:
    """A value for a message: its repr, shortened."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 200:
        return f"a whole number of {value.bit_length():,} bits"
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        text = f"a {type(value).__name__}"
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def ratio(text: str) -> float:
    """Parse a number, or a ratio such as "145/270". Raises ValueError."""
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"{shown(text)} is no number")
    try:
        number = float(Fraction(text)) if "/" in text else float(text)
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise ValueError(f"{shown(text)} is no number") from error
    if not math.isfinite(number):
        raise ValueError(f"{shown(text)} is no finite number")
    return number


def strange(tree: Any) -> Iterator[tuple[str, str]]:
    """(dotted key, reason) of each value that is nested too deeply or too large an integer."""
    stack: list[tuple[str, int, Any]] = [("", 0, tree)]
    while stack:
        key, depth, value = stack.pop()
        if depth > DEEPEST:
            yield key[:SHOWN], f"is nested deeper than {DEEPEST} tables or lists"
        elif isinstance(value, Mapping):
            before = f"{key}." if key else ""
            stack += [(f"{before}{name}", depth + 1, part) for name, part in value.items()]
        elif isinstance(value, list):
            stack += [(key, depth + 1, part) for part in value]
        elif isinstance(value, int) and value.bit_length() > INTEGER_BITS:
            yield key, f"is {shown(value)}, more than TOML's 64"
