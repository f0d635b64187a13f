"""`python -m ofa_bench` and the `ofa-bench` command."""

from __future__ import annotations

import os
import sys
from typing import Any


def main() -> int:
    """Run the command line; return its exit code."""
    from ofa_bench.cli.main import main as run_command

    sys.unraisablehook = _ignored
    return run_command()


def _ignored(unraisable: Any) -> None:
    """Suppress the second error of a torch data loader: one whose construction failed raises again
    when it is deleted, after the first error was reported."""
    half_made = "DataLoaderIter" in getattr(unraisable.object, "__qualname__", "")
    if not half_made or os.environ.get("OFA_BENCH_DEBUG", "") not in ("", "0"):
        sys.__unraisablehook__(unraisable)


if __name__ == "__main__":
    sys.exit(main())
