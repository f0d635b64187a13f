"""A step's gradient does not depend on how micro-batches are shared out among ranks."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from tests.running import finished_ranks

WORKER = """
import sys, torch
from ofa_bench import api
from ofa_bench.training.devices import open_devices
from ofa_bench.training.state import State

out = sys.argv[1]
kept = []
update = State.update
def keep(self, lr):
    kept.append(self.gradients.flat.clone())
    if len(kept) == 1 and self.devices.first:
        torch.save(kept[0], out)
    update(self, lr)
State.update = keep
api.run(method="bignas", dataset="digits", space="toy", epochs=0.2, results=sys.argv[2],
        set=("evaluate.per_bucket=1", "evaluate.curve=0", "optim.norm_batch=16"))
"""


def gradient(folder: Path, world: int) -> torch.Tensor:
    folder.mkdir()
    script = folder / "worker.py"
    script.write_text(WORKER)
    out = folder / "gradient.pt"
    finished_ranks([sys.executable, str(script), str(out), str(folder / "results")], world)
    loaded: torch.Tensor = torch.load(out, weights_only=True)
    return loaded


def test_three_ranks_give_the_gradient_of_one(tmp_path: Path) -> None:
    one = gradient(tmp_path / "one", 1)
    three = gradient(tmp_path / "three", 3)  # four micro-batches: 2, 1 and 1
    assert one.abs().max() > 0
    assert (one - three).abs().max() <= 1e-6 * one.abs().max()
