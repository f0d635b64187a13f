"""Optional libraries: a missing one is told with the line that installs it."""

from __future__ import annotations

import importlib.util

from ofa_bench.errors import UsageError


def require_library(name: str, extra: str, subject: str) -> None:
    """Raise UsageError where a library is not installed; `extra` is the one that brings it."""
    if importlib.util.find_spec(name) is None:
        raise UsageError(f"{subject} needs {name}", f"pip install 'ofa-bench[{extra}]'")
