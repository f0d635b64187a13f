"""A run killed anywhere ends with the weights of an undisturbed one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ofa_bench import api
from ofa_bench.hooks.bus import Bus
from ofa_bench.training.checkpoint import Checkpoints

SMALL = {
    "dataset": "digits",
    "space": "toy",
    "epochs": 1,
    "set": ("evaluate.per_bucket=1", "evaluate.curve=1"),
}


class Killed(BaseException):
    """Nothing may catch it, as nothing catches a SIGKILL."""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("method", ["ofa", "compofa", "bignas", "bignas-port", "deps"])
def test_killed_twice(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = api.run(method=method, results=tmp_path / "whole", **SMALL)
    monkeypatch.setattr(Checkpoints, "due", property(lambda self: True))
    tell = Bus.after_step
    for moment in (3, 11):

        def kill(bus: Bus, step: object, outcome: object, at: int = moment) -> None:
            if step.index == at:  # type: ignore[attr-defined]
                raise Killed
            tell(bus, step, outcome)  # type: ignore[arg-type]

        monkeypatch.setattr(Bus, "after_step", kill)
        with pytest.raises(Killed):
            api.run(method=method, results=tmp_path / "cut", **SMALL)
    monkeypatch.setattr(Bus, "after_step", tell)
    (folder,) = (tmp_path / "cut" / "runs").iterdir()
    assert list((folder / "checkpoint").glob("*.pt"))
    again = api.resume(folder.name, tmp_path / "cut")
    assert again.weights_sha256 == whole.weights_sha256
    assert [s.top1_test for s in again.scores] == [s.top1_test for s in whole.scores]


def test_a_damaged_newest_checkpoint_falls_back(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 0)
    checkpoints.save(1, {"run_id": "a", "step": 1})
    checkpoints.save(2, {"run_id": "a", "step": 2})
    newest = tmp_path / "000000002.pt"
    newest.write_bytes(newest.read_bytes()[:40])
    state = checkpoints.load("a", torch.device("cpu"))
    assert state is not None
    assert state["step"] == 1
