"""A micro-batch and its address: any batch is rebuilt from (seed, epoch, positions) alone."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Address:
    """Positions `start` to `stop` (exclusive) in the order of an epoch of the training split."""

    epoch: int
    start: int
    stop: int


@dataclass
class MicroBatch:
    """Images float32 [n, 3, R, R], normalised and channels-last, with int64 labels [n]."""

    images: Tensor
    labels: Tensor
    _sized: dict[int, MicroBatch] = field(default_factory=dict, repr=False)

    def at(self, resolution: int) -> MicroBatch:
        """The same images at another resolution (antialiased bilinear), made once per batch."""
        if resolution == self.images.shape[-1]:
            return self
        if resolution not in self._sized:
            self._sized[resolution] = MicroBatch(resized(self.images, resolution), self.labels)
        return self._sized[resolution]


def resized(images: Tensor, resolution: int) -> Tensor:
    """Images [n, 3, H, W] resized to a square of `resolution` pixels, channels-last."""
    sized = functional.interpolate(
        images, (resolution, resolution), mode="bilinear", antialias=True, align_corners=False
    )
    return sized.contiguous(memory_format=torch.channels_last)


class Normalise:
    """uint8 to float32 with zero mean and unit deviation per channel, as one multiply-add."""

    def __init__(
        self, mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
    ) -> None:
        deviation = torch.tensor(std, dtype=torch.float64)
        centre = torch.tensor(mean, dtype=torch.float64)
        self.scale = (1 / (255 * deviation)).float().to(device)
        self.shift = (-centre / deviation).float().to(device)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Pixels uint8 [n, H, W, 3] as images float32 [n, 3, H, W] in channels-last memory."""
        images = pixels.to(torch.float32)
        return images.mul_(self.scale).add_(self.shift).permute(0, 3, 1, 2)
