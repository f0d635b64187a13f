"""The table at the end."""

from __future__ import annotations

from typing import Any

from .timing import TABLE


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if TABLE.lines:
        terminalreporter.write_line("")
        terminalreporter.write_line(str(TABLE))
