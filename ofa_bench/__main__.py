"""`python -m ofa_bench` and the `ofa-bench` command."""

from __future__ import annotations

import sys


def main() -> int:
    """Carry out the command line; returns the exit code."""
    from ofa_bench.cli.main import main as carry_out

    return carry_out()


if __name__ == "__main__":
    sys.exit(main())
