"""What nets learn from: labels, a frozen teacher, or the largest net beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ofa_bench import (
    Batch,
    Criterion,
    DistillPolicy,
    Draw,
    Options,
    Phase,
    Role,
    Seen,
    Snapshot,
    Step,
    Teacher,
)

if TYPE_CHECKING:
    from torch import Tensor


class Labels(DistillPolicy[Options]):
    """Labels only."""

    labels_only = frozenset({Role.LARGEST, Role.SMALLEST, Role.SAMPLED})

    def distill_loss(
        self,
        step: Step,
        draw: Draw,
        logits: Tensor,
        batch: Batch,
        seen: Seen,
        criterion: Criterion,
    ) -> Tensor:
        """The plain criterion."""
        return criterion.hard(logits, batch.labels)


class FrozenOptions(Options):
    """`ratio`: weight of the teacher's targets beside the labels. `mode`: the teacher's norms."""

    ratio: float = Field(default=1.0, ge=0)
    mode: Literal["train", "eval"] = "train"


class Frozen(DistillPolicy[FrozenOptions]):
    """The largest net as it stood when the first phase ended (OFA, section 3.3)."""

    needs_teacher = True

    def distill_teacher(self, phase: Phase, earlier: Sequence[Phase]) -> Teacher | None:
        """One snapshot for all phases but the first, taken as the second begins."""
        if not earlier:
            return None
        first, second = [*earlier, phase][:2]
        return Snapshot(first.space.largest, at=second.name, mode=self.options.mode)

    def distill_loss(
        self,
        step: Step,
        draw: Draw,
        logits: Tensor,
        batch: Batch,
        seen: Seen,
        criterion: Criterion,
    ) -> Tensor:
        """Labels plus `ratio` times the teacher's targets; labels alone where there is none."""
        hard = criterion.hard(logits, batch.labels)
        if seen.teacher is None:
            return hard
        return hard + self.options.ratio * criterion.soft(logits, seen.teacher)


class InplaceOptions(Options):
    """`temperature` softens both the largest net's logits and the learner's."""

    temperature: float = Field(default=1.0, gt=0)


class Inplace(DistillPolicy[InplaceOptions]):
    """The largest net learns from labels, the others from it, in one step (US-Nets; BigNAS).

    The largest net's logits are those of its own training pass, dropout and batch statistics
    included, and carry no gradient back to it.
    """

    needs = frozenset({Role.LARGEST})
    labels_only = frozenset({Role.LARGEST})

    def distill_loss(
        self,
        step: Step,
        draw: Draw,
        logits: Tensor,
        batch: Batch,
        seen: Seen,
        criterion: Criterion,
    ) -> Tensor:
        """Labels for the largest net; for the others temperature² × soft cross entropy."""
        if draw.role is Role.LARGEST:
            return criterion.hard(logits, batch.labels)
        return criterion.soft(logits, seen[Role.LARGEST], self.options.temperature)
