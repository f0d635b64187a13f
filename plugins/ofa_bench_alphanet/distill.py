"""The adaptive α-divergence (AlphaNet, section 3) between the largest net's answers and others'."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import Field

from ofa_bench import Batch, Criterion, DistillPolicy, Draw, Options, Role, Seen, Step

if TYPE_CHECKING:
    from torch import Tensor


class AlphaOptions(Options):
    """`low` and `high`: the two α, of which each image takes that of the greater divergence.

    `clip`: the most that (p/q)^α counts, where α is not 1.
    """

    low: float = Field(default=-1.0, ge=-8, lt=0)
    high: float = Field(default=1.0, gt=0, le=8)
    clip: float = Field(default=5.0, ge=1)


class Alpha(DistillPolicy[AlphaOptions]):
    """The largest net learns from labels; the others from it, by whichever α tells them more.

    A negative α is great where the learner is sure of what its teacher holds for unlikely, a
    positive one where it misses what the teacher holds for likely.
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
        """Labels for the largest net; for the others the mean over images of the greater of both
        divergences, with its clipped gradient."""
        if draw.role is Role.LARGEST:
            return criterion.hard(logits, batch.labels)
        o = self.options
        log_p, log_q = seen[Role.LARGEST].detach().log_softmax(1), logits.log_softmax(1)
        low, falling = divergence(log_p, log_q, o.low, o.clip)
        high, rising = divergence(log_p, log_q, o.high, o.clip)
        chosen = falling.where(low > high, rising)
        return (low.maximum(high) + chosen - chosen.detach()).mean()


def divergence(log_p: Tensor, log_q: Tensor, alpha: float, clip: float) -> tuple[Tensor, Tensor]:
    """D_α(p ‖ q) of each row [n], and a term [n] whose gradient is the divergence's.

    D_α = (Σ q·(p/q)^α - 1) / (α(α - 1)), at α = 1 Σ p·log(p/q). The gradient of both is
    -1/α Σ q·(p/q)^α ∇log q. (p/q)^α counts at most `clip`, except at α = 1, where q·(p/q) is p
    and no weight is above 1. Log-probabilities are [n, classes].
    """
    apart = log_p - log_q.detach()
    if alpha == 1:
        weights = log_p.exp()
        value = (weights * apart).sum(1)
    else:
        weights = (alpha * apart).clamp(max=math.log(clip)).exp() * log_q.detach().exp()
        value = (weights.sum(1) - 1) / (alpha * (alpha - 1))
    return value, -(weights * log_q).sum(1) / alpha
