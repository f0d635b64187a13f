"""Texts from strangers made safe to show, and the one spelling of a record's file."""

from __future__ import annotations

import json
import re
from typing import Any

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def plain_text(text: object, limit: int = 200) -> str:
    """One line without terminal codes, control characters or direction marks."""
    bare = _HIDDEN.sub(" ", _ANSI.sub("", str(text))).strip()
    return bare if len(bare) <= limit else bare[: limit - 1] + "…"


def cell(text: object) -> str:
    """A Markdown table cell that shows the text and nothing else."""
    return re.sub(r"([\\`*_{}\[\]<>#|!&~:])", r"\\\1", plain_text(text))


def spell(value: Any) -> str:
    """JSON as files hold it: sorted keys, two levels unfolded, one list item a line."""
    return _unfold(value, 0) + "\n"


def _unfold(value: Any, depth: int) -> str:
    pad, end = " " * (depth + 1), " " * depth
    if isinstance(value, dict) and value and depth < 3:
        rows = [f"{pad}{_flat(str(k))}: {_unfold(v, depth + 1)}" for k, v in sorted(value.items())]
        return "{\n" + ",\n".join(rows) + f"\n{end}}}"
    if isinstance(value, list) and value and isinstance(value[0], dict) and depth < 3:
        rows = [pad + _flat(item) for item in value]
        return "[\n" + ",\n".join(rows) + f"\n{end}]"
    return _flat(value)


def _flat(value: Any) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False)
