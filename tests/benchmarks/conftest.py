"""The allocator of the command line for all contenders, and the table at the end."""

from __future__ import annotations

import sys
from typing import Any

from ofa_bench.cli.allocator import settle

if "--benchmark-only" in sys.argv:  # tests collect this folder too, and keep their allocator
    settle("cpu")  # before anything imports torch

from .timing import TABLE


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if TABLE.lines:
        terminalreporter.write_line("")
        terminalreporter.write_line(str(TABLE))
