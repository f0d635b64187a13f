"""Texts from strangers made safe to show, and the one spelling of a record's file."""

from __future__ import annotations

import json
import re
from typing import Any

from ofa_bench.sanitize import plain_text


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
