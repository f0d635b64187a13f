"""Where gradients conflict, the largest net's yields to the smaller nets' (NASViT, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ofa_bench import Draw, Role, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class Yielding:
    """Sums gradients, after the largest net's has lost what is against the sum of the others."""

    @hookimpl
    def merge_gradients(self, draws: Sequence[Draw], grads: Tensor) -> Tensor:
        """s + b - min(0, b·s / |s|²) s, of b the largest net's gradient and s the others' sum.

        Shares are in both already. The plain sum [parameters] where the largest net or the others
        are absent.
        """
        largest = [index for index, draw in enumerate(draws) if draw.role is Role.LARGEST]
        total = grads.sum(0)
        if not largest or len(largest) == len(draws):
            return total
        full = grads[largest].sum(0)
        others = total - full
        along = (full @ others).clamp(max=0) / (others @ others).clamp(min=1e-30)
        return total - along * others
