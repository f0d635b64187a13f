"""Texts from strangers made safe for the places of a page that autoescaping does not reach."""

from __future__ import annotations

import json
import textwrap
from typing import Any

from ofa_bench.sanitize import plain_text

LONGEST = 2000  # characters of a command or an error
FOLD = 26  # characters of a line on a chart


def label(text: object, limit: int = 60) -> str:
    """A text for a chart, folded to fit a phone."""
    return "\n".join(textwrap.wrap(plain_text(text, limit), FOLD))


def embedded(value: Any) -> str:
    """JSON that can stand in a script element: nothing in it closes or opens one."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def listed(words: list[str], most: int = 8) -> str:
    """Words between commas, the rest counted."""
    more = len(words) - most
    return ", ".join(words[:most]) + (f" and {more} more" if more > 0 else "")
