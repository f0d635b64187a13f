"""Gradients averaged over the nets that use a weight, where the default sums them.

The DεpS repository's aggregation "avg" and "avg_sqrt".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ofa_bench import hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class Average:
    """Σ share·g / Σ share, for each parameter over the draws in which it is active."""

    power: ClassVar[float] = 1.0

    @hookimpl
    def merge_gradients(self, grads: Tensor, active: Tensor, shares: Sequence[float]) -> Tensor:
        """The merged gradient [parameters]; zero where no draw is active."""
        weight = grads.new_tensor(list(shares)) @ active.to(grads.dtype)
        merged = grads.sum(0) / weight.pow(self.power)
        return merged.masked_fill(weight == 0, 0.0)


class RootAverage(Average):
    """The sum over the square root of the shares' sum."""

    power = 0.5
