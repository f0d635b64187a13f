"""The allocator of the command line for all contenders, and the table at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from ofa_bench.cli.allocator import settle

if "--benchmark-only" in sys.argv:  # tests collect this folder too, and keep their allocator
    settle("cpu")  # before anything imports torch

from .timing import TABLE, Table


@pytest.fixture
def table(benchmark: Any) -> Iterator[Table]:
    """Takes a benchmark's lines; the file of `--benchmark-json` has them too."""
    first = len(TABLE.lines)
    yield TABLE
    for line in TABLE.lines[first:]:
        benchmark.extra_info[f"{line.what}, against {line.against}"] = line.ratios
    benchmark.pedantic(lambda: None, rounds=1)  # what is timed here is timed in rounds of its own


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if TABLE.lines:
        terminalreporter.write_line("")
        terminalreporter.write_line(str(TABLE))
