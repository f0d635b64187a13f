"""Trees as JSON and TOML text, with room for what no writer would spell."""

from __future__ import annotations

import json
import math
import random
from typing import Any

from tests.hostile.values import Raw


def spell_json(value: Any, indent: int = 0) -> str:
    """JSON as the project spells it (one space a level), `Raw` text verbatim."""
    pad, end = "\n" + " " * (indent + 1), "\n" + " " * indent
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict) and value:
        items = (f"{json.dumps(str(k))}: {spell_json(v, indent + 1)}" for k, v in value.items())
        return "{" + pad + f",{pad}".join(items) + end + "}"
    if isinstance(value, list | tuple) and value:
        return (
            "[" + pad + f",{pad}".join(spell_json(item, indent + 1) for item in value) + end + "]"
        )
    return json.dumps(value)


def spell_toml(tree: dict[str, Any]) -> str:
    """TOML with every value inline but the outermost tables and lists of tables."""
    lines = [f"{_key(k)} = {_inline(v)}" for k, v in tree.items() if not _table(v)]
    for key, value in tree.items():
        if _table(value) and isinstance(value, dict):
            lines += [f"[{_key(key)}]", *(f"{_key(k)} = {_inline(v)}" for k, v in value.items())]
        elif _table(value):
            for row in value:
                lines += [
                    f"[[{_key(key)}]]",
                    *(f"{_key(k)} = {_inline(v)}" for k, v in row.items()),
                ]
    return "\n".join(lines) + "\n"


def _table(value: Any) -> bool:
    rows = (
        isinstance(value, list) and len(value) > 0 and all(isinstance(row, dict) for row in value)
    )
    return isinstance(value, dict) or rows


def _key(name: Any) -> str:
    plain = str(name).replace("_", "").replace("-", "")
    return str(name) if plain.isascii() and plain.isalnum() else _text(str(name))


def _inline(value: Any) -> str:
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return "nan" if math.isnan(value) else "inf" if math.isinf(value) else repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(k)} = {_inline(v)}" for k, v in value.items()) + "}"
    return _text("" if value is None else str(value))


def _text(value: str) -> str:
    """A basic string; what TOML cannot hold stays as it is, for the reader to refuse."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def garbled(rng: random.Random, raw: bytes, times: int = 0) -> bytes:
    """Bytes with a few places flipped, cut, repeated, moved or replaced."""
    data = bytearray(raw)
    for _ in range(times or rng.choice([1, 1, 2, 5])):
        if not data:
            data += rng.randbytes(rng.choice([1, 7, 300]))
        at = rng.randrange(len(data))
        span = min(len(data) - at, rng.choice([1, 2, 4, 8, 64, 1000]))
        match rng.randrange(8):
            case 0 | 1:
                data[at] ^= 1 << rng.randrange(8)
            case 2:
                data[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, 0x0A, 0x22])
            case 3:
                del data[at:]
            case 4:
                del data[at : at + span]
            case 5:
                data[at:at] = data[at : at + span] * rng.choice([1, 2, 50])
            case 6:
                data[at : at + span] = rng.randbytes(span)
            case 7:
                data[at : at + span] = rng.choice([b"\xff", b"\x00"]) * span
    return bytes(data)
