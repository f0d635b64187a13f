"""What short runs do as their phases begin, at every step and to their gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ofa_bench import api
from ofa_bench.training.forward_backward import Passes
from ofa_bench.training.state import State

SMALL = ("evaluate.per_bucket=1", "evaluate.curve=0", "evaluate.buckets=1")


class Seen:
    """One entry for each phase, and one for each step."""

    def __init__(self) -> None:
        self.phases: list[dict[str, Any]] = []
        self.nets: dict[str, set[int]] = {}
        self.noisy: dict[str, set[tuple[str, bool]]] = {}
        self.norms: list[float] = []


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """watched(method, *settings): what 0.7 epochs of digits in the toy space did."""
    seen = Seen()
    begin, run, update = State.begin_phase, Passes.run, State.update

    def begin_phase(self: State, step: Any) -> None:
        moving = _buffers(self)
        begin(self, step)
        seen.phases.append(
            {
                "name": step.phase.name,
                "moving": moving,
                "kept": _buffers(self),
                "sorted": _falling(self),
            }
        )

    def run_passes(self: Passes, batch: Any, number: int, weight: float, before: Any) -> None:
        name = self.step.phase.name
        seen.nets.setdefault(name, set()).add(len(self.draws))
        run(self, batch, number, weight, before)
        noise = seen.noisy.setdefault(name, set())
        noise |= {
            (str(draw.role), generator is not None)
            for draw, generator in zip(self.draws, self._generators, strict=True)
        }

    def update_state(self: State, lr: float) -> None:
        seen.norms.append(float(torch.linalg.vector_norm(self.gradients.flat)))
        update(self, lr)

    monkeypatch.setattr(State, "begin_phase", begin_phase)
    monkeypatch.setattr(Passes, "run", run_passes)
    monkeypatch.setattr(State, "update", update_state)

    def train(method: str, *settings: str) -> Seen:
        api.run(
            method=method,
            dataset="digits",
            space="toy",
            epochs=0.7,
            results=tmp_path / "results",
            set=(*SMALL, *settings),
        )
        return seen

    return train


def _buffers(state: State) -> int:
    """Parameters that have a momentum."""
    held = state.optimizer.torch
    return 0 if held is None else sum(bool(value) for value in held.state.values())


def _falling(state: State) -> bool:
    """Whether the middle channels of every block stand by the L1 norm of what projects them."""
    sums = [block.project.weight.detach().abs().sum((0, 2, 3)) for _, block in state.net.slots()]
    return all(bool((row.diff() <= 0).all()) for row in sums)


def test_each_phase_of_progressive_shrinking_begins_at_rest(watched) -> None:
    """A new optimizer in every phase, 1, 2 and 4 nets a step, dropout on every net, channels by
    importance before the narrower nets join."""
    seen = watched("ofa", "net.dropout=0.1")
    names = [phase["name"] for phase in seen.phases]
    assert names == ["largest", "depth-1", "expand-1"]
    assert [phase["sorted"] for phase in seen.phases] == [False, False, True]
    assert all(phase["moving"] for phase in seen.phases[1:])
    assert not any(phase["kept"] for phase in seen.phases)
    assert seen.nets == {"largest": {1}, "depth-1": {2}, "expand-1": {4}}
    assert all(noisy for roles in seen.noisy.values() for _, noisy in roles)


def test_coupled_phases_begin_at_rest(watched) -> None:
    seen = watched("compofa", "net.dropout=0.1")
    assert [phase["name"] for phase in seen.phases] == ["largest", "coupled-1", "coupled-2"]
    assert not any(phase["kept"] for phase in seen.phases)
    assert [phase["sorted"] for phase in seen.phases] == [False, True, True]
    assert seen.nets == {"largest": {1}, "coupled-1": {4}, "coupled-2": {4}}
    assert all(noisy for roles in seen.noisy.values() for _, noisy in roles)


def test_delayed_shrinking_goes_on_with_its_momentum(watched) -> None:
    """One optimizer through the switch; dropout on the largest net only; no clipping."""
    seen = watched("deps", "net.dropout=0.1", "optim.lr=5")
    _, joint = seen.phases
    assert joint["sorted"]
    assert joint["kept"] >= joint["moving"] > 0
    assert seen.nets == {"warm": {1}, "joint": {4}}
    assert seen.noisy["joint"] == {("largest", True), ("smallest", False), ("sampled", False)}
    assert max(seen.norms) > 1


def test_the_sandwich_drops_out_of_the_largest_net_only(watched) -> None:
    seen = watched("bignas", "net.dropout=0.1")
    assert seen.nets == {"sandwich": {4}}
    expected = {("largest", True), ("smallest", False), ("sampled", False)}
    assert seen.noisy["sandwich"] == expected


def test_a_clipped_run_never_steps_further(watched) -> None:
    seen = watched("deps", "optim.clip=0.01", "optim.lr=5")
    assert max(seen.norms) == pytest.approx(0.01, rel=1e-4)
