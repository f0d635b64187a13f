"""Parse checkpoint intervals: 600, 10m, 500steps. Torch-free."""

from __future__ import annotations

import math
import re
from typing import Any

from ofa_bench.errors import UsageError

SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def checkpoint_interval(text: object) -> dict[str, Any]:
    """The execution settings of a checkpoint interval; empty for None.

    Raises UsageError unless it is a positive time or number of steps.
    """
    if text is None:
        return {}
    parts = re.fullmatch(r"([0-9.e+]+) *([a-z]*)", str(text).strip().lower())
    number, unit = parts.groups() if parts else ("", "")
    try:
        value = float(number)
    except ValueError:
        value = 0.0
    if unit in ("step", "steps") and 1 <= value < math.inf and value == int(value):
        return {"checkpoint_steps": int(value)}
    if unit not in SECONDS or not 0 < value < math.inf:
        raise UsageError(
            f"--checkpoint-every {text!r} is no interval", "write 600, 90s, 10m, 2h or 500steps"
        )
    return {"checkpoint_seconds": value * SECONDS[unit]}
