"""Requests from Python, validated as the command line validates its options."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

from ofa_bench.errors import UsageError, suggest
from ofa_bench.hooks.policy import Policy
from ofa_bench.recipe.checkpoint_interval import checkpoint_interval
from ofa_bench.recipe.load import SEEDS, Request
from ofa_bench.strict import DEEPEST, shown


def request(**values: Any) -> Request:
    """A request from keywords named as the command's options.

    NumPy's numbers count as Python's, and a text is read as the command reads it; a boolean is no
    number. Raises UsageError on an unknown option or an invalid value.
    """
    known = {field.name for field in fields(Request)}
    checked: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            hint = suggest(name, sorted(known), "the options are")
            raise UsageError(f"run has no option {name!r}", hint)
        if value is not None:
            checked[name] = CHECKS[name](name, value)
    return Request(**checked)


def unboxed(value: Any) -> Any:
    """A NumPy or torch number as Python's own; anything else as it is."""
    single = getattr(value, "shape", None) == () and callable(getattr(value, "item", None))
    return value.item() if single else value


def whole(name: str, value: Any, low: int, high: int) -> int:
    """A whole number within bounds; UsageError otherwise, for a boolean too."""
    number = unboxed(value)
    if isinstance(number, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,30}\s*", number):
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int):
        raise _wrong(name, value, "is no whole number", f"choose one of {low} to {high}")
    if not low <= number <= high:
        raise _wrong(name, value, "is out of range", f"choose one of {low} to {high}")
    return number


def amount(name: str, value: Any) -> float:
    """A positive, finite number, or a ratio such as "10/270"; UsageError otherwise."""
    number = unboxed(value)
    try:
        if isinstance(number, bool) or not isinstance(
            number, int | float | Fraction | Decimal | str
        ):
            raise TypeError
        text = isinstance(number, str) and "/" in number and len(number) < 100
        number = float(Fraction(number)) if text else float(number)
    except (ValueError, TypeError, ArithmeticError):
        raise _wrong(name, value, "is no number", "give a positive, finite one") from None
    if not 0 < number < math.inf:
        raise _wrong(name, value, "is no positive, finite number", "give one such as 12 or 0.5")
    return number


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _wrong(name, value, "is no name", "give a text")
    return value.strip()


def _space(name: str, value: Any) -> str:
    """A space's name, or the path of its table."""
    return _text(name, os.fspath(value) if isinstance(value, os.PathLike) else value)


def _path(name: str, value: Any) -> Any:
    if not isinstance(value, str | os.PathLike) or not os.fspath(value) or "\0" in str(value):
        raise _wrong(name, value, "is no path", "give a text or a Path")
    return value


def _policy(name: str, value: Any) -> Any:
    return value if isinstance(value, Policy) else _text(name, value)


def _flag(name: str, value: Any) -> bool:
    flag = unboxed(value)
    if not isinstance(flag, bool):
        raise _wrong(name, value, "is neither true nor false", "give True or False")
    return flag


def _several(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, Mapping):
        return tuple(f"{key}={_leaf(key, leaf)}" for key, leaf in leaves(value))
    if isinstance(value, str | os.PathLike):
        value = (value,)
    if not isinstance(value, Iterable):
        raise _wrong(name, value, "is no list", "give a list of texts")
    items = tuple(value)
    if not all(isinstance(item, str | os.PathLike) and str(item) for item in items):
        raise _wrong(name, value, "is no list of texts", "give a list of texts")
    return tuple(str(item) for item in items)


def leaves(table: Mapping[Any, Any], depth: int = 1) -> Iterator[tuple[Any, Any]]:
    """Dotted keys and values: `{"optim": {"lr": 1}}` is `{"optim.lr": 1}`."""
    for key, value in table.items():
        if isinstance(value, Mapping) and value and depth < DEEPEST:
            yield from ((f"{key}.{inner}", leaf) for inner, leaf in leaves(value, depth + 1))
        else:
            yield key, value


def _leaf(key: Any, value: Any) -> str:
    try:
        return json.dumps(value, default=_plain)
    except (ValueError, TypeError, RecursionError) as error:
        # An integer of thousands of digits, a list within itself, a table keyed by tuples.
        reason = f"set: {key}: {shown(value)} is no value of a recipe"
        raise UsageError(reason, "give a number or a text") from error


def _plain(value: Any) -> Any:
    number = unboxed(value)
    if number is value:
        raise UsageError(f"set: {value!r} is no value of a recipe", "give a number or a text")
    return number


def _like(
    pattern: str, why: str = "is none of the choices", hint: str = ""
) -> Callable[[str, Any], str]:
    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise _wrong(name, value, why, hint or pattern.replace("|", ", "))
        return value

    return check


def _interval(name: str, value: Any) -> Any:
    checkpoint_interval(unboxed(value))
    return unboxed(value)


def _recorded(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(name, value, "is no table", "give a record's science and origins")
    return value


def _wrong(name: str, value: Any, why: str, hint: str) -> UsageError:
    shown = repr(value)
    return UsageError(f"{name}: {shown if len(shown) < 80 else shown[:79] + '…'} {why}", hint)


CHECKS: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(("method", "dataset"), _text),
    "space": _space,
    **dict.fromkeys(("shrink", "lr", "distill"), _policy),
    **dict.fromkeys(("recipe", "data_dir", "init", "teacher", "results"), _path),
    **dict.fromkeys(("set", "extras", "plugins"), _several),
    **dict.fromkeys(("scale", "epochs"), amount),
    **dict.fromkeys(("deterministic", "fresh"), _flag),
    "budget": _like("paper|matched"),
    "init_head": _like("file|fresh"),
    "checkpoint_every": _interval,
    "keep": _like("newest|phase"),
    "precision": _like("fp32|bf16|fp16"),
    "seed": partial(whole, low=0, high=SEEDS - 1),
    "workers": partial(whole, low=0, high=256),
    "device": _like(r"auto|cpu|cuda(:\d{1,4})?", "is no device", "give auto, cpu, cuda or cuda:N"),
    "recorded": _recorded,
}
