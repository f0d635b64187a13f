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
    "launch/test_slurm.py",
    "hostile/test_fuzz.py",
    "parity/test_steps.py",
    "testing/test_tutorial.py",
    "cli/test_parallel_runs.py",
    "testing/test_broken.py",
    "hostile/test_kills.py",
    "training/test_kill.py",
    "results/test_committed.py",
    "training/test_replay.py",
    "training/test_workers.py",
    "training/test_interrupted.py",
    "training/test_sharing.py",
    "testing/test_template.py",
    "training/test_checkpoint.py",
    "deploy/test_search.py",
    "training/test_ranks_apart.py",
    "hostile/test_values.py",
    "cli/test_open_files.py",
    "evaluation/test_score.py",
    "plugins/test_trackers.py",
    "deploy/test_adopt.py",
    "records/test_null_worlds.py",
    "example_plugins/test_strangers.py",
    "training/test_ranks.py",
    "truth/test_truth.py",
    "runs/test_evaluation_survives.py",
    "data/test_archives.py",
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
