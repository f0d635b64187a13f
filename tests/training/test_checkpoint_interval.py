"""How often a run saves its state, and what it keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ofa_bench import api
from ofa_bench.errors import UsageError
from ofa_bench.training.checkpoint import Checkpoints

SMALL: dict[str, Any] = {"dataset": "digits", "space": "toy", "epochs": 1, "method": "deps"}
SMALL |= {"set": ("evaluate.per_bucket=1", "evaluate.buckets=1", "evaluate.curve=0")}


def saved_steps(monkeypatch: pytest.MonkeyPatch, **values: Any) -> list[int]:
    steps: list[int] = []
    save = Checkpoints.save

    def counted(self: Checkpoints, step: int, state: dict[str, Any]) -> None:
        steps.append(step)
        save(self, step, state)

    monkeypatch.setattr(Checkpoints, "save", counted)
    api.run(**SMALL, **values)
    return steps


def test_every_so_many_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last = api.plan(**SMALL).schedule.steps
    steps = saved_steps(monkeypatch, checkpoint_every="7steps", results=tmp_path)
    assert steps == [*range(7, last + 1, 7), last]


def test_a_long_interval_saves_at_the_end_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = api.plan(**SMALL).schedule.steps
    assert saved_steps(monkeypatch, checkpoint_every="2h", results=tmp_path) == [last]


def test_the_states_at_the_ends_of_phases_stay(tmp_path: Path) -> None:
    record = api.run(**SMALL, keep="phase", results=tmp_path)
    folder = tmp_path / "runs" / record.run.id
    edges = api.plan(**SMALL).schedule.edges[1:]
    kept = sorted((folder / "phases").glob("*.pt"))
    assert [path.name for path in kept] == ["1-warm.pt", "2-joint.pt"]
    states = [torch.load(path, weights_only=True) for path in kept]
    assert [state["step"] for state in states] == list(edges)
    last = folder / "phases" / "2-joint.safetensors"
    assert last.read_bytes() == (folder / "weights.safetensors").read_bytes()
    plain = api.run(**SMALL, results=tmp_path / "plain")
    assert plain.weights_sha256 == record.weights_sha256 and plain.run_id == record.run_id
    assert not (tmp_path / "plain" / "runs" / plain.run.id / "phases").exists()


def test_a_kept_state_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    record = api.run(**SMALL, keep="phase", results=tmp_path)
    folder = tmp_path / "runs" / record.run.id
    for path in tmp_path.glob("records/*/*/*"):
        path.unlink()
    weights = (folder / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").unlink()
    step = torch.load(folder / "phases" / "1-warm.pt", weights_only=True)["step"]
    (folder / "phases" / "1-warm.pt").rename(folder / "checkpoint" / f"{step:09d}.pt")
    assert api.resume(record.run.id, tmp_path).weights_sha256 == record.weights_sha256
    assert (folder / "weights.safetensors").read_bytes() == weights


@pytest.mark.parametrize("text", ["", "0", "-5", "nan", "1e999", "5 parsecs", "2.5steps", "0steps"])
def test_no_interval(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no interval"):
        api.run(**SMALL, checkpoint_every=text, results=tmp_path)


def test_intervals_as_they_are_written() -> None:
    for text, seconds in (("600", 600), (600, 600), ("90s", 90), ("10m", 600), ("1.5 h", 5400)):
        execution = api.plan(**SMALL, checkpoint_every=text).recipe.execution
        assert execution.checkpoint_seconds == seconds
