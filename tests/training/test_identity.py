"""A run's ids follow from what its record holds, without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ofa_bench import api
from ofa_bench.recipe.fingerprint import run_id
from ofa_bench.records.store import Store

TINY = {"dataset": "digits", "space": "toy", "epochs": 0.1}
TINY |= {"set": ("evaluate.per_bucket=1", "evaluate.buckets=1", "evaluate.curve=0")}
PAIR = """
from ofa_bench import hookimpl

class Watches:
    @hookimpl
    def after_step(self, step, outcome): ...

class Sums:
    @hookimpl
    def merge_gradients(self, step, draws, grads, active, shares):
        return grads.sum(0)

@hookimpl
def register(catalogue):
    catalogue.extra("watches", Watches)
    catalogue.extra("sums", Sums, affects_training=True)
"""
RECOMPUTE = """
import sys
from pathlib import Path
from ofa_bench.records.validation.identity import recomputed
from ofa_bench.records.store import read
print(recomputed(read(Path(sys.argv[1]))), "torch" in sys.modules)
"""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("extras", [(), ("watches", "sums")], ids=["plain", "extras and weights"])
def test_the_row_id_can_be_computed_from_the_record_alone(
    extras: tuple[str, ...], tmp_path: Path
) -> None:
    plugin = tmp_path / "pair.py"
    plugin.write_text(PAIR)
    asked = {**TINY, "method": "bignas", "results": tmp_path, "plugins": (str(plugin),)}
    if extras:
        first = api.run(**{**asked, "plugins": ()})
        asked |= {"init": tmp_path / "runs" / first.run.id, "extras": extras}
    record = api.run(**asked)
    path = Store(tmp_path).path(record)
    words = [sys.executable, "-c", RECOMPUTE, str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [record.row_id, "False"]
    assert record.run_id == run_id(record.row_id, record.seed)
    assert record.identity is not None
    assert set(record.identity.files) == ({"init"} if extras else set())


def test_committed_records_give_their_row_id_or_are_from_before_and_keep_their_bytes() -> None:
    results = Path(__file__).resolve().parents[2] / "results"
    entries = Store(results).list()
    assert entries
    from ofa_bench.records.json_text import spell
    from ofa_bench.records.schema import plain
    from ofa_bench.records.validation.identity import recomputed

    assert {entry.record.identity is None for entry in entries} == {True, False}
    for entry in entries:
        held = entry.record.row_id if entry.record.identity else None
        assert recomputed(entry.record) == held
        assert entry.path.read_text(encoding="utf-8") == spell(plain(entry.record))
