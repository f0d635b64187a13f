"""Durations, budgets, phases, and the step that every policy receives."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from ofa_bench import seeding
from ofa_bench.draws import Role
from ofa_bench.errors import UsageError
from ofa_bench.space import Space
from ofa_bench.strict import ratio, shown

MOST_EPOCHS = 100_000  # of a run, or of a part of one
MOST_DRAWS = 1024  # subnets of one step
SHORTEST_BATCH = 8  # a last batch of fewer images is left out: its norm statistics mean nothing


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of training that survives rescaling.

    A number or "a/b" is a fraction of the run; "5 epochs" counts epochs of the method's reference
    budget. A bare epoch count is refused, since it would change its meaning with --scale.
    """

    amount: float
    unit: Literal["run", "epochs"] = "run"

    @classmethod
    def parse(cls, value: Duration | float | str) -> Duration:
        """Read a duration as recipes write it; UsageError if it cannot be one."""
        if isinstance(value, Duration):
            return value
        text = (value if isinstance(value, str) else shown(value)).strip()
        unit: Literal["run", "epochs"] = "run"
        for suffix in (" epochs", " epoch"):
            if text.endswith(suffix):
                text, unit = text.removesuffix(suffix), "epochs"
        try:
            amount = ratio(text)
        except ValueError as error:
            raise UsageError(
                f"{shown(value)} is not a duration",
                'write a fraction of the run (0.5, "145/270") or "5 epochs"',
            ) from error
        if amount > MOST_EPOCHS:
            raise UsageError(
                f"{shown(value)} is longer than any training",
                f"write at most {MOST_EPOCHS:,} epochs",
            )
        if amount < 0 or (unit == "run" and amount > 1):
            raise UsageError(
                f"{shown(value)} is not a duration: a bare number is a fraction of the run, 0 to 1",
                f'write "{text} epochs" for epochs of the reference budget',
            )
        return cls(amount, unit)

    def __str__(self) -> str:
        short = f"{self.amount:.12g}"
        # What is stored must read back to the same number: a resume lays out the same phases.
        exact = short if float(short) == self.amount else repr(self.amount)
        return f"{exact} epochs" if self.unit == "epochs" else exact

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Let options declare a Duration; it is stored as it is written."""
        from pydantic_core import core_schema

        def read(value: Any) -> Duration:
            try:
                return cls.parse(value)
            except UsageError as error:
                raise ValueError(f"{error.message}; {error.hint}") from error

        return core_schema.no_info_plain_validator_function(
            read, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a run is: `epochs` here, `reference` as the method's paper has it."""

    epochs: float
    reference: float

    def resolve(self, duration: Duration) -> float:
        """A duration in epochs of this run."""
        if duration.unit == "run":
            return duration.amount * self.epochs
        return self.scaled(duration.amount)

    def scaled(self, reference_epochs: float) -> float:
        """Epochs of the paper as epochs of this run."""
        return reference_epochs * (self.epochs / self.reference)


@dataclass(frozen=True)
class Phase:
    """A stretch of training on one (sub)space.

    `epochs` includes warm-up and all phases' epochs sum to the budget. `passes` says what each
    step will draw, by role. `fresh` starts a new optimizer and a new learning-rate clock. `sort`
    orders channels by importance as the phase begins. `peak` is the phase's share of the base
    learning rate.
    """

    name: str
    space: Space
    epochs: float
    passes: Mapping[Role, int]
    fresh: bool = False
    sort: Literal["global", "grouped"] | None = None
    peak: float = 1.0
    warmup: Duration = Duration(0.0)


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step, the same on every rank. `index` counts from 0 over the whole run.

    `clock` of `clock_steps` is the learning rate's own time: it starts anew with each fresh phase
    and does not run during its warm-up, which `segment_step` and `warmup_steps` tell.
    """

    index: int
    phase: Phase
    phase_step: int
    phase_steps: int
    segment_step: int
    warmup_steps: int
    clock: int
    clock_steps: int
    steps_per_epoch: int
    seed: int
    base_lr: float
    budget: Budget

    @property
    def epoch(self) -> float:
        """Epochs of data seen before this step."""
        return self.index / self.steps_per_epoch

    def steps(self, duration: Duration) -> int:
        """Convert a duration to steps of this run."""
        return round(self.budget.resolve(duration) * self.steps_per_epoch)

    def rng(self, salt: str = "") -> random.Random:
        """A generator addressed by (seed, step, salt): the only randomness a policy may use."""
        return seeding.rng("step", self.seed, self.index, salt)

    def draw_rng(
        self, number: int, style: Literal["keyed", "reference"] = "keyed"
    ) -> random.Random:
        """The generator of one draw. "reference": as the once-for-all code seeds it, by step, draw
        and 000 written one after another; independent of the run's seed, as there."""
        if style == "reference":
            return random.Random(int(f"{self.segment_step}{number:03d}000"))
        return self.rng(f"draw {number}")


@dataclass(frozen=True)
class Schedule:
    """Phases laid out in steps; everything about time is a function of the step's index."""

    phases: tuple[Phase, ...]
    budget: Budget
    images: int
    batch: int
    norm_batch: int
    base_lr: float
    seed: int
    warmup: Duration = Duration(0.0)  # of the first phase, where it names none itself
    edges: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "edges", tuple(self._edges()))

    def _edges(self) -> list[int]:
        self._refuse_absurd()
        total = round(sum(phase.epochs for phase in self.phases) * self.steps_per_epoch)
        if not total:
            raise UsageError(
                f"a run of {self.budget.epochs:g} epochs of {self.images:,} images in batches of "
                f"{self.batch} is too short for a step",
                "train longer (--epochs, --scale), or in smaller batches (--set optim.batch=N)",
            )
        total = max(total, len(self.phases))
        edges, epochs = [0], 0.0
        for number, phase in enumerate(self.phases, 1):
            epochs += phase.epochs
            # Cumulative rounding loses no step; each phase keeps one, those still to come too.
            edge = max(edges[-1] + 1, round(epochs * self.steps_per_epoch))
            edges.append(min(edge, total - (len(self.phases) - number)))
        return edges

    def _refuse_absurd(self) -> None:
        """Raise UsageError if the run is too long or has too many draws in a step."""
        if not self.budget.epochs <= MOST_EPOCHS:
            raise UsageError(
                f"a run of {self.budget.epochs:.4g} epochs is beyond any use",
                f"train at most {MOST_EPOCHS:,} epochs (--epochs, --scale)",
            )
        for phase in self.phases:
            draws = sum(phase.passes.values())
            if draws > MOST_DRAWS:
                raise UsageError(
                    f"{shown(draws)} subnets in a step of phase {phase.name}",
                    f"draw at most {MOST_DRAWS:,}: lower the shrink policy's options",
                )

    @property
    def steps_per_epoch(self) -> int:
        """Steps in one pass over the training images, a short last batch included."""
        full, rest = divmod(self.images, self.batch)
        return full + (rest >= SHORTEST_BATCH)

    @property
    def left_out(self) -> int:
        """Images dropped in each epoch, since the last batch would be too short."""
        rest = self.images % self.batch
        return rest if rest < SHORTEST_BATCH else 0

    @property
    def steps(self) -> int:
        return self.edges[-1]

    def seen(self, index: int) -> int:
        """Images trained on before a step."""
        epochs, step_in_epoch = divmod(index, self.steps_per_epoch)
        return epochs * (self.images - self.left_out) + step_in_epoch * self.batch

    def phase_number(self, index: int) -> int:
        """Which phase a step belongs to."""
        return min(bisect_right(self.edges, index) - 1, len(self.phases) - 1)

    def step(self, index: int) -> Step:
        """The step at an index; the index `steps` is allowed, for plots."""
        number = self.phase_number(index)
        start, stop = self._segment(number)
        warmup = self._warmup_steps(start, stop)
        since, first = index - self.edges[start], self.edges[number]
        return Step(
            index=index,
            phase=self.phases[number],
            phase_step=index - first,
            phase_steps=self.edges[number + 1] - first,
            segment_step=since,
            warmup_steps=warmup,
            clock=max(0, since - warmup),
            clock_steps=self.edges[stop] - self.edges[start] - warmup,
            steps_per_epoch=self.steps_per_epoch,
            seed=self.seed,
            base_lr=self.base_lr,
            budget=self.budget,
        )

    def _segment(self, number: int) -> tuple[int, int]:
        """The phases [start, stop) that share one optimizer and one learning-rate clock."""
        start = number
        while start > 0 and not self.phases[start].fresh:
            start -= 1
        stop = number + 1
        while stop < len(self.phases) and not self.phases[stop].fresh:
            stop += 1
        return start, stop

    def _warmup_steps(self, start: int, stop: int) -> int:
        duration = self.phases[start].warmup
        if start == 0 and not duration.amount:
            duration = self.warmup
        length = self.edges[stop] - self.edges[start]
        return min(round(self.budget.resolve(duration) * self.steps_per_epoch), length - 1)

    def cuts(self, index: int) -> list[tuple[int, int, int]]:
        """The step's micro-batches as (epoch, start, stop) positions in that epoch's order.

        Norm layers see exactly one micro-batch, so the cut is a fact of the recipe: a full batch
        in parts of `norm_batch`, a short last one in nearly equal parts.
        """
        epoch, step_in_epoch = divmod(index, self.steps_per_epoch)
        first = step_in_epoch * self.batch
        count = min(self.batch, self.images - first)
        parts = -(-count // self.norm_batch)
        bounds = [first + count * part // parts for part in range(parts + 1)]
        return [(epoch, a, b) for a, b in pairwise(bounds)]
