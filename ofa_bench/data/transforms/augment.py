"""Crop and flip of batches on the device, and the order of an epoch, both by address."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from ofa_bench.data.sources.batch import Address
from ofa_bench.recipe.models import Augment
from ofa_bench.seeding import key


def epoch_order(seed: int, epoch: int, count: int) -> Tensor:
    """A permutation of the training split, int64 [count], addressed by (seed, epoch)."""
    return torch.randperm(count, generator=_generator("order", seed, epoch))


def _generator(*address: str | int) -> torch.Generator:
    # Always the CPU's generator: its numbers are the same whatever the run's device is.
    return torch.Generator().manual_seed(key(*address))


class Draws:
    """An epoch's order and the crop and flip of every position, from one table per epoch."""

    def __init__(self, seed: int, count: int, augment: Augment, device: torch.device) -> None:
        self.seed, self.count, self.augment, self.device = seed, count, augment, device
        self._epoch = lru_cache(maxsize=2)(self._table)

    def rows(self, address: Address) -> Tensor:
        """The indices of the split's images at an address, int64 [n]."""
        return self._epoch(address.epoch)[0][address.start : address.stop]

    def moves(self, address: Address) -> tuple[Tensor, Tensor, Tensor]:
        """Vertical and horizontal shift and flip (0 or 1) at an address, int64 [n] each."""
        table = self._epoch(address.epoch)[1][:, address.start : address.stop]
        return table[0], table[1], table[2]

    def _table(self, epoch: int) -> tuple[Tensor, Tensor]:
        border = self.augment.border
        generator = _generator("crop", self.seed, epoch)
        shifts = torch.randint(-border, border + 1, (2, self.count), generator=generator)
        flips = torch.randint(0, 2, (1, self.count), generator=generator)
        table = torch.cat([shifts, flips * int(self.augment.flip)])
        order = epoch_order(self.seed, epoch, self.count)
        return order.to(self.device), table.to(self.device)


def crop_and_flip(pool: Tensor, rows: Tensor, moves: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Shifted and flipped images of a pool uint8 [N, R, R, 3], as one gather: uint8 [n, R, R, 3].

    Outside an image is its reflection, as with reflection padding before a crop.
    """
    down, right, flip = moves
    side = pool.shape[1]
    steps = torch.arange(side, device=pool.device)
    y = _reflected(steps + down[:, None], side)
    x = _reflected(steps + right[:, None], side)
    x = torch.where(flip[:, None].bool(), x.flip(1), x)
    linear = ((rows * side)[:, None, None] + y[:, :, None]) * side + x[:, None, :]
    return pool.view(-1, 3).index_select(0, linear.flatten()).view(-1, side, side, 3)


def _reflected(coordinates: Tensor, side: int) -> Tensor:
    """Coordinates reflected at both edges, repeatedly if needed, without repeating the edge."""
    if side == 1:
        return torch.zeros_like(coordinates)
    period = 2 * (side - 1)
    return (side - 1) - (coordinates.remainder(period) - (side - 1)).abs()
