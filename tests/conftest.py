"""One thread for all tests and the processes they start: their nets are too small for two, and two
threads that wait for each other on a busy machine make seconds into minutes. And a cache of their
own, which goes away with them."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="ofa-bench-cache-")
atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)


LONG = (
    "testing/test_tutorial.py",
    "example_plugins/test_strangers.py",
    "launch/test_slurm.py",
    "training/test_kill.py",
    "training/test_ranks_apart.py",
    "training/test_workers.py",
    "hostile/test_fuzz.py",
    "parity/test_steps.py",
    "cli/test_side.py",
    "training/test_one_step.py",
    "training/test_ranks.py",
    "training/test_sharing.py",
    "results/test_committed.py",
    "hostile/test_kills.py",
)


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Files that take long come first, so that no core idles while another ends one of them."""
    rank = {Path(__file__).parent / name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What tests said with `record_property`, a line for each name, whichever process ran them."""
    told: dict[str, list[str]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "call":
                for name, value in report.user_properties:
                    told.setdefault(name, []).append(str(value))
    for name, values in told.items():
        terminalreporter.write_line(f"{name}: {', '.join(values)}")
