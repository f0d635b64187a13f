"""A training run of a few steps that keeps every step's answers and gradient."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_bench.draws import Draw
from ofa_bench.errors import Interrupted
from ofa_bench.hooks.bus import Bus
from ofa_bench.hooks.hookspecs import Outcome, hookimpl
from ofa_bench.schedule import Schedule, Step
from ofa_bench.testing.case import draws_of
from ofa_bench.training.callbacks import Silent

if TYPE_CHECKING:
    from torch import Tensor

    from ofa_bench.hooks.catalogue import Catalogue
    from ofa_bench.recipe import Request
    from ofa_bench.training.interrupts import Stop
    from ofa_bench.training.state import State

MOVING = 1e-3  # a learning rate that changes the weights
RESTING = 1e-30  # one that leaves them unchanged, bit for bit


@dataclass
class Trial:
    """`answers`: each step's number, draws, rate and shares as JSON values. `gradients`: its flat
    gradient, reduced over ranks and merged. `weights`: those at the end."""

    answers: list[list[Any]] = field(default_factory=list)
    gradients: list[Tensor] = field(default_factory=list)
    weights: dict[str, Tensor] = field(default_factory=dict)


def short(asked: Request, schedule: Schedule, folder: Path, rate: float) -> Request:
    """A run of six steps, or of two a phase where that is more; its files in a folder."""
    epochs = max(6, 2 * len(schedule.phases)) / schedule.steps_per_epoch
    small = (f"optim.lr={rate}",)
    return replace(asked, epochs=epochs, results=str(folder), set=(*asked.set, *small))


def attempt(asked: Request, catalogue: Catalogue, halts: tuple[int, ...] = ()) -> Trial:
    """Train a run; with `halts`, stop after each of these steps and resume."""
    from ofa_bench.runs.runner import prepare, state_of
    from ofa_bench.training.devices import open_devices
    from ofa_bench.training.interrupts import Stop
    from ofa_bench.training.loop import Loop

    trial = Trial()
    with open_devices("cpu") as devices:
        for halt in (*halts, None):
            prepared, stop = prepare(asked, catalogue, devices), Stop()
            state = state_of(prepared, stop, Halting(stop, halt))
            prepared.assembly.bus.observe("the contract", Watch(state, trial))
            with suppress(Interrupted):
                Loop(state).run()
    trial.weights = {name: value.detach() for name, value in state.net.named_parameters()}
    return trial


class Halting(Silent):
    """Callback that requests a stop after one step."""

    def __init__(self, stop: Stop, at: int | None) -> None:
        self.stop, self.at = stop, at

    def step(self, step: Step, outcome: Outcome) -> None:
        self.stop.requested = step.index == self.at


class Watch:
    """Observer that stores each step's answers and gradient in a trial."""

    def __init__(self, state: State, trial: Trial) -> None:
        self.state, self.trial = state, trial

    @hookimpl
    def after_step(self, step: Step, outcome: Outcome) -> None:
        """Store after the update; the gradient is valid until the next step clears it."""
        self.trial.answers.append(row(step, outcome.draws, outcome.lr, outcome.shares))
        self.trial.gradients.append(self.state.gradients.flat.detach().clone())


def row(step: Step, draws: Iterable[Draw], rate: float, shares: Iterable[float]) -> list[Any]:
    """A step's answers as JSON values."""
    nets = [[draw.role.value, draw.subnet.to_json()] for draw in draws]
    return [step.index, nets, rate, list(shares)]


def answers(bus: Bus, schedule: Schedule) -> list[list[Any]]:
    """The answers of pure policies at every step, in the form of `Trial.answers`."""
    rows = []
    for index in range(schedule.steps):
        step = schedule.step(index)
        draws = draws_of(bus, step)
        shares = [bus.lr_share(step, draw) for draw in draws]
        rows.append(row(step, draws, bus.lr_at(step), shares))
    return rows
