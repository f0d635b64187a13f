"""An extra that only watches ends no run; a run that failed can be tried again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ofa_bench import api
from ofa_bench.cli.main import main
from ofa_bench.errors import BenchError, PluginError
from ofa_bench.records.store import Store
from ofa_bench.training.callbacks import Silent
from tests.records.factory import failed

TINY: dict[str, Any] = {"method": "deps", "dataset": "digits", "space": "toy", "epochs": 0.3}
TINY |= {"set": ("evaluate.per_bucket=1", "evaluate.buckets=1", "evaluate.curve=1")}
EXTRAS = """
from pathlib import Path
from ofa_bench import hookimpl

def away(hook):
    raise ConnectionError(f"the server is away in {hook}")

class Sad:
    @hookimpl
    def run_start(self, run): away("run_start")
    @hookimpl
    def phase_start(self, phase, step): away("phase_start")
    @hookimpl
    def after_step(self, step, outcome): away("after_step")
    @hookimpl
    def after_eval(self, step, scores): raise SystemExit(3)
    @hookimpl
    def run_end(self, record): away("run_end")
    def state_dict(self): return {"lock": object()}
    def load_state_dict(self, state): away("load")

class Glad:
    @hookimpl
    def after_step(self, step, outcome):
        with Path(__file__).with_suffix(".seen").open("a") as stream:
            stream.write("x")

class Acts:
    @hookimpl
    def after_step(self, step, outcome):
        if Path(__file__).with_suffix(".broken").exists():
            away("after_step")
    @hookimpl
    def merge_gradients(self, step, draws, grads, active, shares):
        return grads.sum(0)

@hookimpl
def register(catalogue):
    catalogue.extra("sad", Sad)
    catalogue.extra("glad", Glad)
    catalogue.extra("acts", Acts, affects_training=True)
"""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "extras.py"
    path.write_text(EXTRAS)
    return path


class Heard(Silent):
    """Progress that remembers its notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_a_watcher_that_fails_does_not_end_training(plugin: Path, tmp_path: Path) -> None:
    plain = api.run(**TINY, results=tmp_path / "plain")
    heard = Heard()
    asked = {**TINY, "plugins": (str(plugin),), "results": tmp_path / "watched"}
    record = api.run_request(api.request(**asked, extras=("glad", "sad", "acts")[:2]), heard)
    assert record.status == "ok"
    assert record.weights_sha256 == plain.weights_sha256
    steps = api.plan(**TINY).schedule.steps
    assert len(plugin.with_suffix(".seen").read_text()) == steps  # its neighbour heard all
    (note,) = [note for note in record.task.notes if "sad" in note]
    assert "ConnectionError: the server is away in run_start" in note
    assert "extras.py:" in note
    count = int(note.split("failed ")[1].split()[0])
    assert count >= steps + 3  # the start, each step, each phase, the curve
    assert sum("sad" in text for text in heard.notes) == 1
    assert "extras.py:" in next(text for text in heard.notes if "sad" in text)


def test_a_run_that_failed_can_be_recorded(plugin: Path, tmp_path: Path) -> None:
    plain = api.run(**TINY, results=tmp_path / "plain", extras=("acts",), plugins=(str(plugin),))
    asked = {**TINY, "extras": ("acts",), "plugins": (str(plugin),), "results": tmp_path / "again"}
    store, broken = Store(tmp_path / "again"), plugin.with_suffix(".broken")
    broken.touch()
    for _ in range(2):
        with pytest.raises(PluginError, match="the server is away"):
            api.run(**asked)
    (entry,) = store.list()
    assert entry.record.status == "failed"
    broken.unlink()
    record = api.run(**asked)
    assert record.status == "ok"
    assert record.weights_sha256 == plain.weights_sha256
    assert [each.record.status for each in store.list()] == ["ok"]
    kept = sorted(path.name for path in entry.path.parent.iterdir())
    names = [f"{record.run.id}.{end}" for end in ("bits", "failed-1", "json")]
    assert [name for name in kept if not name.endswith("failed-2")] == names  # alike in one second
    results = str(tmp_path / "again")
    assert main(["validate", str(tmp_path / "again" / "records")]) == 0
    assert main(["board", "digits", "--results", results]) == 0
    assert main(["runs", "--results", results]) == 0


@pytest.mark.parametrize("text", ["another", "{}"], ids=["record of another run", "no record"])
def test_what_cannot_be_stored_is_refused_before_training(text: str, tmp_path: Path) -> None:
    from ofa_bench.records.json_text import spell
    from ofa_bench.records.schema import plain

    first = api.run(**TINY, results=tmp_path / "first")
    path = Store(tmp_path / "second").path(first)
    path.parent.mkdir(parents=True)
    path.write_text(spell(plain(failed())) if text == "another" else text)
    before = path.read_bytes()
    with pytest.raises(BenchError, match="holds"):
        api.run(**TINY, results=tmp_path / "second")
    assert not list((tmp_path / "second" / "runs").glob("*/events.jsonl"))
    assert path.read_bytes() == before


def test_a_rate_is_asked_for_once_a_draw(plugin: Path, tmp_path: Path) -> None:
    from ofa_bench.hooks.bus import Bus

    calls: list[tuple[int, str]] = []
    share = Bus.lr_share

    def counted(self: Bus, step: Any, draw: Any) -> float:
        if not sys._getframe(1).f_globals["__name__"].startswith("ofa_bench.planning."):
            calls.append((step.index, str(draw)))  # the record's curve is asked for beside them
        return share(self, step, draw)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Bus, "lr_share", counted)
        record = api.run(**TINY, extras=("acts",), plugins=(str(plugin),), results=tmp_path)
    draws = record.cost.subnet_passes / record.cost.images
    steps = sum(phase.steps for phase in record.cost.phases)
    assert 0 < len(calls) <= steps * 4
    assert len(calls) == len(set(calls)) or draws > 1
    per_step = [sum(index == step for index, _ in calls) for step in range(steps)]
    assert set(per_step) <= {1, 4}  # the largest alone, then a sandwich of four
