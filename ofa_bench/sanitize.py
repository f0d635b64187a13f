"""Text from outside (paths, options, files, records, plugins) made safe to store, show and paste.

Texts are made printable first and quoted last: nothing may change a line once it is quoted.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

LONGEST_LINE = 1500  # characters of a suggested command line; every view shows that many whole

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def printable(text: object) -> str:
    """One line of valid Unicode without terminal codes, control characters or direction marks.

    A byte of a path that is no UTF-8 is written as `\\xff`.
    """
    return _HIDDEN.sub(" ", _ANSI.sub("", _SURROGATE.sub(_escaped, str(text))))


def plain_text(text: object, limit: int = 200) -> str:
    """As `printable`, without blanks at the ends, cut to `limit` characters."""
    bare = printable(text).strip()
    return bare if len(bare) <= limit else bare[: limit - 1] + "…"


def storable(value: Any) -> Any:
    """JSON values with every text in them printable, names of fields too. Texts of several lines
    keep their line ends."""
    if isinstance(value, str):
        if "\n" in value:
            return _CONTROL.sub(" ", _ANSI.sub("", _SURROGATE.sub(_escaped, value)))
        return printable(value) if not value.isascii() or not value.isprintable() else value
    if isinstance(value, Mapping):
        return {storable(name): storable(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(storable, value)) if type(value) in (list, tuple) else value
    return value


def command_line(*words: object) -> str:
    """A command line that a shell reads as these words, each made printable before it is quoted."""
    return shlex.join(printable(word) for word in words)


def command_words(line: str) -> list[str] | None:
    """The words of a stored command line, each made printable; None if no shell reads it."""
    try:
        return [printable(word) for word in shlex.split(line)]
    except ValueError:
        return None


def code_span(text: str) -> str:
    """A printable text as Markdown code, whatever backticks it holds."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    if not longest:
        return f"`{text}`"
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}"


def _escaped(match: re.Match[str]) -> str:
    point = ord(match[0])
    return f"\\x{point - 0xDC00:02x}" if 0xDC80 <= point <= 0xDCFF else f"\\u{point:04x}"
