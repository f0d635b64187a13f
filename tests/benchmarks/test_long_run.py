"""What a run of 10,000 steps holds in memory and leaves on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ofa_bench import api, hookimpl
from ofa_bench.training.callbacks import EventLog

STEPS = 10_000
WARM = 2_000  # steps until caches and the allocator are filled


def resident() -> float:
    """Megabytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def test_memory_is_flat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, benchmark: Any) -> None:
    benchmark.pedantic(lambda: None, rounds=1)  # which skips it where benchmarks are skipped
    seen: dict[int, float] = {}
    after = EventLog.after_step

    @hookimpl
    def noted(log: EventLog, step: Any, outcome: Any) -> None:
        if step.index % 1000 == 999:
            seen[step.index + 1] = resident()
        after(log, step, outcome)

    monkeypatch.setattr(EventLog, "after_step", noted)
    plan = api.plan(method="random-subnet", space="toy", epochs=1)
    epochs = STEPS / plan.schedule.steps_per_epoch
    asked: dict[str, Any] = {"method": "random-subnet", "space": "toy", "epochs": epochs}
    api.run(**asked, set=("evaluate.per_bucket=1", "evaluate.curve=0"), results=tmp_path)
    grown = seen[STEPS] - seen[WARM]
    (log,) = tmp_path.glob("runs/*/events.jsonl")
    print(f"resident after 1,000 steps each: {seen}; event log {log.stat().st_size:,} bytes")
    assert grown < 20, seen
