"""Typed base classes of the three policy families. A policy returns values; the core acts on them.

Subclass with an options model: `class Mine(ShrinkPolicy[MyOptions])`. The base class marks hooks
that a subclass overrides, since pluggy silently drops an override without the marker.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field

from ofa_bench.draws import Draw, Role
from ofa_bench.hooks.hookspecs import PROJECT, Batch, Criterion, Seen, Teacher, hookimpl
from ofa_bench.schedule import Budget, Phase, Step
from ofa_bench.space import Space, Subnet

if TYPE_CHECKING:
    from torch import Tensor


class Options(BaseModel):
    """Frozen options; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


O = TypeVar("O", bound=Options)  # noqa: E741 - reads as "options" where it is used


class Policy(Generic[O]):
    """Base of the three families.

    `pure` is False for a policy that depends on feedback: its draws are written to the event log,
    and if it observes steps it must define `state_dict` and `load_state_dict`.
    """

    family: ClassVar[str]
    hooks: ClassVar[frozenset[str]] = frozenset()
    Options: ClassVar[type[Options]] = Options
    pure: ClassVar[bool] = True
    options: O

    def __init__(self, options: O | None = None, **values: Any) -> None:
        self.options = options or type(self).Options(**values)  # type: ignore[assignment]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            model = next(iter(get_args(base)), None) if get_origin(base) else None
            if isinstance(model, type) and issubclass(model, Options):
                cls.Options = model
        for name in cls.hooks & vars(cls).keys():
            if not hasattr(vars(cls)[name], f"{PROJECT}_impl"):
                setattr(cls, name, hookimpl(vars(cls)[name]))


class ShrinkPolicy(Policy[O]):
    """Chooses which subnets are trained at which step."""

    family = "shrink"
    hooks = frozenset({"shrink_phases", "shrink_draws"})

    def reference_epochs(self, space: Space) -> float | None:
        """The published length of this policy on a space, where the space decides it."""
        return None

    def shrink_phases(self, space: Space, budget: Budget) -> Sequence[Phase]:
        """The run's phases; see `TrainingSpec.shrink_phases`."""
        raise _unanswered(self, "shrink_phases")

    def shrink_draws(self, step: Step, probe: Callable[[Subnet], float]) -> Sequence[Draw]:
        """The step's subnets; see `TrainingSpec.shrink_draws`."""
        raise _unanswered(self, "shrink_draws")


class LrOptions(Options):
    """Options any learning rate has. `warmup_from`: the share of the peak a warm-up starts at."""

    warmup_from: float = Field(default=0.0, ge=0, le=1)


L = TypeVar("L", bound=LrOptions)


class LrPolicy(Policy[L], Generic[L]):
    """The learning rate. A subclass defines the shape of one segment; the base adds peak and
    warm-up.

    `needs_ramp`: requires a phase after the first that continues another.
    """

    family = "lr"
    hooks = frozenset({"lr_at", "lr_share"})
    Options = LrOptions
    needs_ramp: ClassVar[bool] = False

    def shape(self, step: Step, clock: float) -> float:
        """The fraction of the peak rate at a clock value, 0 to `step.clock_steps`."""
        raise _unanswered(self, "shape")

    @hookimpl
    def lr_at(self, step: Step) -> float:
        """Base rate × phase peak × warm-up or shape: w + (1 - w)·s/S with s from 1, as in the
        once-for-all code's `warmup_adjust_learning_rate`."""
        peak = step.base_lr * step.phase.peak
        if step.segment_step < step.warmup_steps:
            start = self.options.warmup_from
            return peak * (start + (1 - start) * (step.segment_step + 1) / step.warmup_steps)
        return peak * self.shape(step, step.clock)

    @hookimpl
    def lr_share(self, step: Step, draw: Draw) -> float:
        """A draw's weight in the summed gradient; 1 by default."""
        return 1.0


class DistillPolicy(Policy[O]):
    """What a subnet's logits are compared with.

    `needs`: roles that every step must draw first, since other draws learn from them.
    `needs_teacher`: a frozen teacher must exist from the second phase on; until then, losses are
    the plain criterion. `labels_only`: roles whose loss is always the plain criterion. Both let
    runs share a beginning.
    """

    family = "distill"
    hooks = frozenset({"distill_teacher", "distill_loss"})
    needs: ClassVar[frozenset[Role]] = frozenset()
    needs_teacher: ClassVar[bool] = False
    labels_only: ClassVar[frozenset[Role]] = frozenset()

    @hookimpl
    def distill_teacher(self, phase: Phase, earlier: Sequence[Phase]) -> Teacher | None:
        """The phase's frozen teacher; None by default."""
        return None

    def distill_loss(
        self,
        step: Step,
        draw: Draw,
        logits: Tensor,
        batch: Batch,
        seen: Seen,
        criterion: Criterion,
    ) -> Tensor:
        """The draw's loss; see `TrainingSpec.distill_loss`."""
        raise _unanswered(self, "distill_loss")


@functools.cache
def families() -> dict[str, type[Policy[Any]]]:
    """Family name -> its typed base."""
    return {base.family: base for base in (ShrinkPolicy, LrPolicy, DistillPolicy)}


def _unanswered(policy: object, hook: str) -> TypeError:
    return TypeError(f"{type(policy).__name__} does not define {hook}")
