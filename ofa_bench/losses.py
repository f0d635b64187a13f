"""The losses every method is built from: means over samples, sums over classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Losses:
    """The recipe's criterion. `smoothing`: target = (1 - s)·onehot + s/classes (Szegedy 2016)."""

    smoothing: float = 0.0

    def hard(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy with label smoothing; logits [n, classes], labels [n] -> scalar."""
        return F.cross_entropy(logits, labels, label_smoothing=self.smoothing)

    def soft(self, logits: Tensor, targets: Tensor, temperature: float = 1.0) -> Tensor:
        """τ² times the cross entropy of softened logits (Hinton 2015, section 2); the entropy of
        the targets is not subtracted, so it equals that entropy, not 0, where both agree."""
        target = F.softmax(targets.detach() / temperature, dim=1)
        loss = -(target * F.log_softmax(logits / temperature, dim=1)).sum(dim=1).mean()
        return loss * temperature**2


def full_precision(logits: Tensor) -> Tensor:
    """Logits in float32 at least: losses are never taken in half precision."""
    return logits.float() if logits.dtype.itemsize < 4 else logits
