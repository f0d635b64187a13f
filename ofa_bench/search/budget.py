"""What a subnet may cost, as people write it: `3M`, `1.5G`, `2ms`, or a plain number."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ofa_bench.errors import UsageError
from ofa_bench.strict import shown

LARGEST = 10**30
MICRO = ("u", "\N{MICRO SIGN}", "\N{GREEK SMALL LETTER MU}")
_NUMBER = r"(\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:e([+-]?\d{1,2}))?"
_TEXT = re.compile(rf"\s*{_NUMBER}\s*([a-z{''.join(MICRO)}]*)\s*", re.IGNORECASE)
_COUNTS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_WORDS = ("macs", "mac", "params", "param", "parameters")
_TIMES = {"": Fraction(1), "ms": Fraction(1), "s": Fraction(1000), "ns": Fraction(1, 10**6)}
_TIMES |= {f"{letter}s": Fraction(1, 1000) for letter in MICRO}
_EXAMPLES = {"macs": "3M, 1.5G or 3000000", "params": "900k or 1.2M", "latency": "2ms or 0.5ms"}


@dataclass(frozen=True)
class CostBudget:
    """The most that a subnet may cost: `kind` is "macs", "params" or "latency" (in milliseconds).

    Without a `value` it stands for every budget: the whole front.
    """

    kind: str
    value: float | None

    def __str__(self) -> str:
        """As it is written: `3,000,000 MACs`, `2 ms`."""
        unit = {"macs": "MACs", "params": "params", "latency": "ms"}[self.kind]
        if self.value is None:
            return f"every budget in {unit}"
        return f"{self.value:,.0f} {unit}" if self.kind != "latency" else f"{self.value:g} {unit}"


def amount(value: Any, kind: str) -> float:
    """A budget in MACs or parameters (an int), or in milliseconds, from a text or a number.

    Raises UsageError where it is not a positive number, in a unit of its kind.
    """
    number = _number(value, kind)
    if number is None or not 0 < number <= LARGEST:
        raise UsageError(
            f"{shown(value)} is no budget of {_noun(kind)}", f"write {_EXAMPLES[kind]}"
        )
    return float(number) if kind == "latency" else math.floor(number)


def budget(
    macs: Any = None,
    params: Any = None,
    latency: Any = None,
    front: bool = False,
    table: Any = None,
) -> CostBudget:
    """The budget that these options name. Raises UsageError unless there is exactly one.

    `front`: every budget, of MACs, or of latency where there is a `table`.
    """
    values = {"macs": macs, "params": params, "latency": latency}
    limits = {kind: value for kind, value in values.items() if value is not None}
    if len(limits) + bool(front) != 1:
        raise UsageError(
            f"a search has one budget, and here are {len(limits) + bool(front)}",
            "name one of --macs 3M, --params 1M, --latency 2ms --table FILE, or --front",
        )
    if front:
        return CostBudget("macs" if table is None else "latency", None)
    ((kind, value),) = limits.items()
    if (kind == "latency") != (table is not None):
        raise UsageError(
            "a latency is looked up in a table, and a table is for latencies",
            "write --latency 2ms --table FILE; `ofa-bench latency measure` makes the file",
        )
    return CostBudget(kind, amount(value, kind))


def named(text: str) -> CostBudget:
    """The budget in a name such as `best@3M`, `best@2ms` or `best@1Mparams`: what follows the `@`.

    Raises UsageError where that is no budget.
    """
    match = _TEXT.fullmatch(text)
    unit = match[3].lower() if match else ""
    kind = "macs"
    if unit and unit in _TIMES:
        kind = "latency"
    elif unit.lstrip("kmgt").startswith("param"):
        kind = "params"
    return CostBudget(kind, amount(text, kind))


def _number(value: Any, kind: str) -> Fraction | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if not isinstance(value, str):
        return Fraction(value) if math.isfinite(value) else None
    match = _TEXT.fullmatch(value)
    if match is None:
        return None
    unit = match[3].lower()
    if kind != "latency":
        unit = next((unit.removesuffix(word) for word in _WORDS if unit.endswith(word)), unit)
    factor = _TIMES.get(unit) if kind == "latency" else _COUNTS.get(unit)
    if factor is None:
        return None
    return Fraction(match[1]) * Fraction(10) ** int(match[2] or 0) * factor


def _noun(kind: str) -> str:
    return {"macs": "MACs", "params": "parameters", "latency": "milliseconds"}[kind]


def spelled_amount(value: float) -> str:
    """A number as `amount` reads it back to the bit: 3000000, 0.1."""
    return repr(float(value)).removesuffix(".0")
