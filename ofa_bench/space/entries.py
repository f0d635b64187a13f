"""Typed reading of TOML entries; every error names the file and the key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ofa_bench.errors import RecipeError, suggest
from ofa_bench.space.bounds import MOST, MOST_NUMBER, MOST_SIZES, MOST_STAGES
from ofa_bench.strict import shown

ACTS = ("relu", "relu6", "h_swish")
T = TypeVar("T")


class Entries:
    """One TOML table, read key by key."""

    def __init__(self, data: dict[str, Any], file: str, prefix: str = "") -> None:
        self._data, self._file, self._prefix = data, file, prefix

    def section(self, key: str) -> Entries:
        """A table inside this one."""
        return Entries(self._take(key), self._file, f"{key}.")

    def integer(self, key: str, least: int = 1) -> int:
        """An integer of at least `least`."""
        return self.integer_in(key, self._take(key), least)

    def integers(self, key: str) -> tuple[int, ...]:
        """A non-empty list of positive integers, in the file's order."""
        return self._integers_in(key, self._take(key))

    def number(self, key: str, default: float | None = None) -> float:
        """A positive number."""
        value = self._data.get(key, default)
        if value is None:
            value = self._take(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(key, f"is {shown(value)}, not a number")
        if not 0 < value < float("inf"):
            raise self._wrong(key, f"is {shown(value)}, but must be positive")
        if value > MOST_NUMBER:
            raise self._wrong(key, f"is {shown(value)}, but at most {MOST_NUMBER:g} has a use")
        return float(value)

    def flag(self, key: str) -> bool:
        """True or false."""
        return self.flag_in(key, self._take(key))

    def text(self, key: str, among: Sequence[str] = ()) -> str:
        """A non-empty string; one of `among`, if specified."""
        return self._text_in(key, self._take(key), among)

    def column(self, key: str, count: int, read: Callable[[Entries, str, Any], T]) -> tuple[T, ...]:
        """One entry for each of `count` stages; a single value applies to all."""
        value = self._take(key)
        entries = value if isinstance(value, list) else [value] * count
        self._expect(key, entries, count)
        return tuple(read(self, key, entry) for entry in entries)

    def choices(self, key: str, count: int, *, odd: bool = False) -> tuple[tuple[int, ...], ...]:
        """The sorted choices of each stage; a flat list applies to all stages."""
        value = self._take(key)
        nested = isinstance(value, list) and any(isinstance(entry, list) for entry in value)
        entries = value if nested else [value] * count
        self._expect(key, entries, count)
        stages = tuple(self._choices_in(key, entry) for entry in entries)
        even = [value for choices in stages for value in choices if odd and value % 2 == 0]
        if even:
            raise self._wrong(key, f"holds {even[0]}, but kernels are odd")
        return stages

    def resolutions(self, key: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Those of training, and the listed: one number, or {from, to, step, listed}."""
        value = self._take(key)
        if not isinstance(value, dict):
            fixed = (self.integer_in(key, value),)
            return fixed, fixed
        inner = Entries(value, self._file, f"{self._prefix}{key}.")
        stray = [name for name in value if name not in ("from", "to", "step", "listed")]
        if stray:
            hint = suggest(stray[0], ("from", "to", "step", "listed"))
            raise inner._wrong(stray[0], "unknown key", hint)
        low, high, step = inner.integer("from"), inner.integer("to"), inner.integer("step")
        if low > high:
            raise inner._wrong("from", f"is {low}, over to = {high}")
        drawn = tuple(range(low, high + 1, step))
        if len(drawn) > MOST_SIZES:
            raise inner._wrong("step", f"makes {len(drawn):,} resolutions, over {MOST_SIZES}")
        listed = inner._choices_in("listed", inner._take("listed"))
        outside = [size for size in listed if size not in drawn]
        if outside:
            raise inner._wrong("listed", f"holds {outside[0]}, which training never draws")
        return drawn, listed

    def integer_in(self, key: str, value: Any, least: int = 1) -> int:
        """`value` as a whole number."""
        if type(value) is not int:
            raise self._wrong(key, f"is {shown(value)}, not a whole number")
        if value < least:
            raise self._wrong(key, f"is {value}, but must be at least {least}")
        if value > MOST[key]:
            raise self._wrong(key, f"is {value:,}, but at most {MOST[key]:,} has a use")
        return value

    def flag_in(self, key: str, value: Any) -> bool:
        """`value` as true or false."""
        if not isinstance(value, bool):
            raise self._wrong(key, f"is {shown(value)}, not true or false")
        return value

    def act_in(self, key: str, value: Any) -> str:
        """`value` as the name of an activation."""
        return self._text_in(key, value, ACTS)

    def _text_in(self, key: str, value: Any, among: Sequence[str]) -> str:
        if not isinstance(value, str) or not value.strip():
            raise self._wrong(key, f"is {shown(value)}, not a text")
        if among and value not in among:
            raise self._wrong(key, f"is {shown(value)}", suggest(value, among))
        return value

    def _integers_in(self, key: str, value: Any) -> tuple[int, ...]:
        if not isinstance(value, list) or not value:
            raise self._wrong(key, f"is {shown(value)}, not a list of one or more whole numbers")
        if len(value) > MOST_STAGES:
            raise self._wrong(key, f"has {len(value):,} entries, over {MOST_STAGES}")
        return tuple(self.integer_in(key, entry) for entry in value)

    def _choices_in(self, key: str, value: Any) -> tuple[int, ...]:
        values = self._integers_in(key, value)
        if len(set(values)) != len(values):
            raise self._wrong(key, f"is {shown(value)}, which says a choice twice")
        return tuple(sorted(values))

    def _expect(self, key: str, entries: list[Any], count: int) -> None:
        if len(entries) != count:
            reason = f"has {len(entries)} entries for {count} stages"
            raise self._wrong(key, reason, "stages.width says how many stages there are")

    def _take(self, key: str) -> Any:
        if key not in self._data:
            raise self._wrong(key, "is missing")
        return self._data[key]

    def _wrong(self, key: str, reason: str, hint: str = "") -> RecipeError:
        return RecipeError(reason, file=self._file, key=f"{self._prefix}{key}", hint=hint)
