"""What rows of one method are called on a board: by what they differ in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ofa_bench.recipe.load import FAMILIES
from ofa_bench.records.schema import Record
from ofa_bench.sanitize import plain_text

WIDTH = 60
Facts = dict[str, str]


def labels(records: Mapping[str, Record]) -> dict[str, str]:
    """Row id -> label: the method's name, and in brackets what tells it from its namesakes.

    Policies by name, options and other recipe values as `key value`, extras as `+name`; rows that
    differ in code or data alone are told apart by their ids.
    """
    named: dict[str, list[str]] = {}
    for row, record in records.items():
        named.setdefault(record.method.name, []).append(row)
    names: dict[str, str] = {}
    for name, group in named.items():
        texts = _distinctions({row: records[row] for row in group})
        names |= {row: plain_text(f"{name} ({it})" if it else name, WIDTH) for row, it in texts}
    often = Counter(names.values())
    return {
        row: label if often[label] == 1 else plain_text(f"{label[: WIDTH - 9]} ({row[:6]})", WIDTH)
        for row, label in names.items()
    }


def _distinctions(group: Mapping[str, Record]) -> list[tuple[str, str]]:
    """For each row of one method, the text in which it differs from the others."""
    facts = {row: _facts(record) for row, record in group.items()}
    values: dict[str, set[str]] = {}
    for row_facts in facts.values():
        for key, value in row_facts.items():
            values.setdefault(key, set()).add(value)
    differing = [key for key in sorted(values) if len(values[key]) > 1]
    families = [family for family in FAMILIES if family in differing]
    texts = []
    for row, row_facts in facts.items():
        words = ["+".join(row_facts[family] for family in families)]
        words += [
            f"{key} {row_facts[key]}"
            for key in differing
            if key not in FAMILIES and key in row_facts
        ]
        extras = group[row].method.extras if len({_extras(r) for r in group.values()}) > 1 else ()
        words += [f"+{extra.name}" for extra in extras]
        texts.append((row, ", ".join(filter(None, words))))
    return texts


def _facts(record: Record) -> Facts:
    """Policies by family, and every recipe value; an option carries its policy's name, so that
    only rows with the same policy can differ in it."""
    science = {key: value for key, value in record.science.items() if key != "extras"}
    facts: Facts = {}
    for family, policy in record.method.policies.items():
        science.pop(family, None)
        facts[family] = policy.name
        facts |= {f"{policy.name}.{key}": value for key, value in _leaves(policy.options)}
    return facts | dict(_leaves(science))


def _leaves(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", _short(value)


def _short(value: Any) -> str:
    """A value as a person would write it: fractions are kept as text in records."""
    try:
        return f"{float(value):.4g}"
    except (TypeError, ValueError):
        return str(value)


def _extras(record: Record) -> tuple[str, ...]:
    return tuple(extra.name for extra in record.method.extras)
