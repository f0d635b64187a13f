"""All hook specifications: when and how often each is called, and with which arguments.

Two buses. The catalogue bus lives as long as the process and answers *what exists*; the training
bus lives as long as one run and answers *what happens*: only the chosen policies, extras and
observers are on it. Hooks answer with values; the engine acts. An implementation names only the
arguments it uses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import pluggy

if TYPE_CHECKING:
    from torch import Tensor

    from ofa_bench.draws import Draw, Role
    from ofa_bench.hooks.catalogue import Catalogue
    from ofa_bench.schedule import Budget, Phase, Schedule, Step
    from ofa_bench.space import Space, Subnet

PROJECT = "ofa_bench"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Batch(Protocol):
    """One micro-batch: images float32 [n, 3, R, R], labels int64 [n], on the run's device."""

    images: Tensor
    labels: Tensor

    def at(self, resolution: int) -> Batch:
        """The same images at another resolution."""


class Criterion(Protocol):
    """The losses every method is built from; both are means over the micro-batch's samples."""

    def hard(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy with the recipe's label smoothing."""

    def soft(self, logits: Tensor, targets: Tensor, temperature: float = 1.0) -> Tensor:
        """Temperature squared times the cross entropy of softened logits."""


class Seen(Protocol):
    """Logits of this micro-batch so far, detached, float32 [n, classes]."""

    @property
    def teacher(self) -> Tensor | None:
        """The phase's teacher on the same images, at the draw's resolution; None without one."""

    def __getitem__(self, role: Role) -> Tensor:
        """The latest draw of a role in `distill.needs`; LARGEST is always kept."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A teacher cut from this run: taken once, as phase `at` begins, and kept while named.

    `mode` "train" uses batch statistics, as the peers do; "eval" is calibrated when taken.
    """

    subnet: Subnet
    at: str
    mode: Literal["train", "eval"] = "train"


@dataclass(frozen=True, slots=True)
class File:
    """A teacher from a weights file or a finished run's folder."""

    path: Path
    subnet: Subnet
    mode: Literal["train", "eval"] = "train"


Teacher = Snapshot | File


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step did. `losses` stay on the device: reading one waits for it."""

    draws: Sequence[Draw]
    losses: Sequence[Tensor]
    lr: float
    shares: Sequence[float]
    images: int


@dataclass(frozen=True, slots=True)
class Scores:
    """Top-1 of the curve's nets on the select split, in percent, by name."""

    top1: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class RunView:
    """What an observer may know of its run. Under several ranks each has a `folder` of its own;
    it may have to be made."""

    run_id: str
    folder: Path
    space: Space
    schedule: Schedule
    science: Mapping[str, Any]
    parameters: Mapping[str, tuple[int, int]]  # name -> its range in the flat gradient


class CatalogueSpec:
    """What exists."""

    @hookspec(historic=True)
    def register(self, catalogue: Catalogue) -> None:
        """Add names to the catalogue. Called once per plugin, when it is discovered; late plugins
        count too. Keep it cheap: give entries as "package.module:Class" strings."""


class TrainingSpec:
    """What happens in one run."""

    @hookspec(firstresult=True)
    def shrink_phases(self, space: Space, budget: Budget) -> Sequence[Phase] | None:
        """The run's phases, in order; their epochs sum to `budget.epochs`. Called at assembly,
        before data is touched. Pure."""

    @hookspec(firstresult=True)
    def shrink_draws(self, step: Step, probe: Callable[[Subnet], float]) -> Sequence[Draw] | None:
        """The subnets of this step, in training order. Called once per step; random only through
        `step.rng()`. `probe(subnet)` is its label loss on the first micro-batch, without
        gradient, equal on all ranks; each call costs a forward pass and is charged."""

    @hookspec(firstresult=True)
    def lr_at(self, step: Step) -> float | None:
        """The learning rate of this step. Called once per step, and by curves. Pure."""

    @hookspec(firstresult=True)
    def lr_share(self, step: Step, draw: Draw) -> float | None:
        """A draw's share of that rate: its weight in the summed gradient. Once per draw. Pure."""

    @hookspec(firstresult=True)
    def distill_teacher(self, phase: Phase, earlier: Sequence[Phase]) -> Teacher | None:
        """The frozen teacher of a phase, or None. Called once per phase, at assembly, with the
        phases before it. Pure."""

    @hookspec(firstresult=True)
    def distill_loss(
        self,
        step: Step,
        draw: Draw,
        logits: Tensor,
        batch: Batch,
        seen: Seen,
        criterion: Criterion,
    ) -> Tensor | None:
        """A draw's loss on one micro-batch: a scalar, the mean over samples, with a gradient.
        Called once per draw and micro-batch. Logits are float32 [n, classes]."""

    @hookspec(firstresult=True)
    def merge_gradients(
        self,
        step: Step,
        draws: Sequence[Draw],
        grads: Tensor,
        active: Tensor,
        shares: Sequence[float],
    ) -> Tensor | None:
        """Optional, an extra's: the step's gradient [parameters] from the draws' own, `grads` and
        `active` both [draws, parameters], reduced over ranks, `shares` applied. Once per step;
        without one the core sums."""

    @hookspec
    def run_start(self, run: RunView) -> None:
        """Observers: once, before the first step of this process."""

    @hookspec
    def phase_start(self, phase: Phase, step: Step) -> None:
        """Observers: once per phase, before its first step."""

    @hookspec
    def after_step(self, step: Step, outcome: Outcome) -> None:
        """Observers: once per completed step."""

    @hookspec
    def after_eval(self, step: Step, scores: Scores) -> None:
        """Observers: after each point of the training curve."""

    @hookspec
    def run_end(self, record: Mapping[str, Any]) -> None:
        """Observers: once, with the finished record."""


def hook_names(spec: type) -> frozenset[str]:
    """The hooks a specification declares."""
    return frozenset(n for n, f in vars(spec).items() if hasattr(f, f"{PROJECT}_spec"))
