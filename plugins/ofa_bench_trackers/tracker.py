"""What every tracker tells, and when; where it goes is a subclass's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from ofa_bench import Outcome, Role, RunView, Scores, Step, UsageError, hookimpl

EVERY = 10  # steps between readings of the losses, each of which waits for the device
SUMMARY = ("mean_pareto_accuracy", "largest_top1", "smallest_top1", "selection_bonus")


class Tracker:
    """Losses by role, rate and ε every ten steps; the curve; at the end, accuracy and cost.

    Under several ranks the first alone tells. Raises UsageError where `library` is not installed.
    """

    library = ""

    def __init__(self) -> None:
        if find_spec(self.library) is None:
            raise UsageError(
                f"--with {self.library} needs the package {self.library}, which is not installed",
                f"pip install 'ofa-bench[{self.library}]'",
            )
        # A RANK left over in the environment, without a WORLD_SIZE, silences nothing.
        several = os.environ.get("WORLD_SIZE", "1") not in ("", "1")
        self.silent = several and os.environ.get("RANK", "0") != "0"

    def begin(self, run: RunView) -> None:
        """Open the place that the numbers go to."""

    def tell(self, step: int, numbers: Mapping[str, float]) -> None:
        """Numbers by name, after so many steps."""

    def end(self) -> None:
        """The finished run's numbers are told: close."""

    @hookimpl
    def run_start(self, run: RunView) -> None:
        self.steps = run.schedule.steps
        if not self.silent:
            self.begin(run)

    @hookimpl
    def after_step(self, step: Step, outcome: Outcome) -> None:
        """Every tenth step, and the last of each phase."""
        last = step.phase_step == step.phase_steps - 1
        if self.silent or not (step.index % EVERY == EVERY - 1 or last):
            return
        sums: dict[str, list[float]] = {}
        for draw, loss in zip(outcome.draws, outcome.losses, strict=True):
            sums.setdefault(f"loss/{draw.role}", []).append(float(loss))
        numbers = {name: sum(values) / len(values) for name, values in sums.items()}
        shares = [
            share
            for draw, share in zip(outcome.draws, outcome.shares, strict=True)
            if draw.role is not Role.LARGEST
        ]
        numbers |= {"lr": outcome.lr, "epoch": step.epoch}
        numbers |= {"epsilon": min(shares)} if shares else {}
        self.tell(step.index + 1, numbers)

    @hookimpl
    def after_eval(self, step: Step, scores: Scores) -> None:
        if not self.silent:
            self.tell(step.index + 1, {f"select/{name}": v for name, v in scores.top1.items()})

    @hookimpl
    def run_end(self, record: Mapping[str, Any]) -> None:
        """Accuracy and cost, as the record has them."""
        if self.silent:
            return
        summary, cost = record["summary"] or {}, record["cost"]
        numbers = {f"test/{name}": summary[name] for name in SUMMARY if name in summary}
        numbers |= {f"cost/{name}": cost[name] for name in ("train_macs", "device_seconds")}
        known = {name: float(value) for name, value in numbers.items() if value is not None}
        self.tell(self.steps, known)
        self.end()
