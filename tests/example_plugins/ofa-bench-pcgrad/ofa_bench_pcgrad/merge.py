"""Conflicting gradients are projected (Yu et al. 2020, algorithm 1; NASViT, section 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ofa_bench import hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class Projection:
    """Each net's gradient loses what it has against any other's; then they are summed."""

    @hookimpl
    def merge_gradients(self, grads: Tensor, active: Tensor) -> Tensor:
        """g_i - (g_i·g_j / |g_j|²) g_j where g_i·g_j < 0, j in training order; then the sum over i.

        Elements that one of the two nets does not use count as 0 in the products, and are not
        moved by the projection.
        """
        total = grads.new_zeros(grads.shape[1])
        for i, own in enumerate(grads):
            left = own.clone()
            for j, other in enumerate(grads):
                if i == j:
                    continue
                along = left @ other
                if along < 0:
                    left = left - along / (other @ other) * other * active[i]
            total = total + left
        return total
