"""What no subnet of a phase reaches is not moved: neither momentum nor decay touch it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ofa_bench import api
from ofa_bench.schedule import Step
from ofa_bench.training.state import State

TABLE = """
base = "toy"
summary = "toy with elastic kernels"
source = "tests"
transforms = true

[stages]
kernel = [3, 5]
"""


def test_matrices_are_identity_when_the_kernel_phase_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "elastic.toml"
    table.write_text(TABLE)
    seen: dict[str, list[torch.Tensor]] = {}
    begin = State.begin_phase

    def watch(state: State, step: Step) -> None:
        named = state.net.named_parameters()
        matrices = [p.detach().clone() for name, p in named if "matrix" in name]
        seen[step.phase.name] = matrices
        begin(state, step)

    monkeypatch.setattr(State, "begin_phase", watch)
    torch.set_num_threads(1)
    api.run(
        method="ofa",
        dataset="digits",
        space=str(table),
        epochs=2,
        results=tmp_path,
        set=("evaluate.per_bucket=1", "evaluate.curve=0", "optim.weight_decay=0.1"),
    )
    assert {"largest", "kernel", "depth-1"} <= set(seen)
    assert seen["kernel"]
    for matrix in seen["kernel"]:
        assert torch.equal(matrix, torch.eye(len(matrix)))
    moved = [not torch.equal(m, torch.eye(len(m))) for m in seen["depth-1"]]
    assert any(moved)


def test_a_space_with_one_kernel_has_no_kernel_phase() -> None:
    names = [p.name for p in api.plan(method="ofa", dataset="cifar10").schedule.phases]
    assert "kernel" not in names
    elastic = api.plan(method="ofa", dataset="cifar10", space="mobilenetv3-ofa-32")
    assert "kernel" in [phase.name for phase in elastic.schedule.phases]
