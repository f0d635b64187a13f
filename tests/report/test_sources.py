"""What the page knows beyond records: a run's meter, read with care."""

from __future__ import annotations

import json
from pathlib import Path

from ofa_bench.leaderboard.board import Board
from ofa_bench.report import page
from ofa_bench.report.training import metered
from tests.records.factory import make

from .conftest import read, sources


def test_a_meter_is_drawn(found: Board, tmp_path: Path) -> None:
    record, _ = make("alpha", 0)
    folder = tmp_path / "runs" / record.run.id
    folder.mkdir(parents=True)
    lines = [{"step": step, "all": [2.0 - step / 10, 0.5]} for step in (0, 1, 1, 2)]
    text = "\n".join(["no JSON", '{"step": 1e999}', *map(json.dumps, lines), '{"all": 3}'])
    (folder / "meter.jsonl").write_text(text)
    series = metered(tmp_path, record)
    assert series is not None
    assert series.steps == (0, 1, 2)
    assert metered(tmp_path / "elsewhere", record) is None
    text = page([found], sources(meter=lambda record: series))
    assert read(text).figure("-interference-data")["data"][0]["y"] == [2.0, 1.9, 1.8]
