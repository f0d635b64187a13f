"""The source of small data sets, kept on the device as uint8."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from ofa_bench.data.discovery.datasets import SPLIT_SEED
from ofa_bench.data.readers.image_set import Collection
from ofa_bench.data.sources.batch import Address, MicroBatch, resized
from ofa_bench.data.sources.source import CALIBRATION_BATCH, BatchSource, HeldOut, Preprocessing
from ofa_bench.data.transforms.augment import Draws, crop_and_flip
from ofa_bench.recipe.models import Augment

LARGEST_SIDE = 96
LARGEST_BYTES = 512 << 20


def fits(collection: Collection, resolution: int, augment: Augment) -> bool:
    """Whether a data set can be kept on the device: one small size, no colour augmentation."""
    side = collection.train.images.side
    if side is None or side != collection.test.images.side or side > LARGEST_SIDE:
        return False
    count = len(collection.train) + len(collection.test)
    return augment.geometric and 3 * count * max(side, resolution) ** 2 <= LARGEST_BYTES


class Resident(BatchSource):
    """The source of small data sets: images of one size, resized once if needed.

    Evaluation resizes and does nothing else.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        train, device, count = self.splits["train"], self.device, self.sizes["train"]
        self._labels = {name: split.labels.to(device) for name, split in self.splits.items()}
        self._rows = train.row_index.to(device)
        self._pool = at_side(train.whole.images.pixels, self.resolution).to(device)
        self._draws = Draws(self.seed, count, self.augment, device)
        self._fixed = Draws(SPLIT_SEED, count, self.augment.geometry(), device)
        self._held_out = lru_cache(maxsize=8)(self._pixels_of)

    def batches(self, addresses: Iterable[Address]) -> Iterator[MicroBatch]:
        for address in addresses:
            yield self._gather(self._draws, address)

    def evaluation(
        self, split: HeldOut, resolution: int, chunk: int, wanted: Sequence[int] | None = None
    ) -> Iterator[MicroBatch]:
        pixels, labels = self._held_out(split, resolution), self._labels[split]
        pieces = list(zip(torch.split(pixels, chunk), torch.split(labels, chunk), strict=True))
        for number in range(len(pieces)) if wanted is None else wanted:
            piece, truth = pieces[number]
            yield MicroBatch(self.normalise(piece), truth)

    def calibration(self, resolution: int) -> Iterator[MicroBatch]:
        for start in range(0, self.calibration_images, CALIBRATION_BATCH):
            stop = min(start + CALIBRATION_BATCH, self.calibration_images)
            yield self._gather(self._fixed, Address(0, start, stop)).at(resolution)

    def preprocessing(self, resolution: int) -> Preprocessing:
        return Preprocessing(resolution, resolution, "float", self.mean, self.std)

    def _gather(self, draws: Draws, address: Address) -> MicroBatch:
        chosen = draws.rows(address)
        pixels = crop_and_flip(self._pool, self._rows[chosen], draws.moves(address))
        return MicroBatch(self.normalise(pixels), self._labels["train"][chosen])

    def _pixels_of(self, split: HeldOut, resolution: int) -> Tensor:
        part = self.splits[split]
        return at_side(part.whole.images.pixels[part.row_index], resolution).to(self.device)


def at_side(pixels: Tensor, side: int) -> Tensor:
    """Pixels uint8 [n, H, W, 3] resized (antialiased bilinear), or as they are where they fit."""
    if pixels.shape[1] == side:
        return pixels.contiguous()
    sized = torch.empty((len(pixels), side, side, 3), dtype=torch.uint8)
    for start in range(0, len(pixels), 1024):
        piece = pixels[start : start + 1024].permute(0, 3, 1, 2).to(torch.float32)
        rounded = resized(piece, side).round_().clamp_(0, 255)
        sized[start : start + 1024] = rounded.permute(0, 2, 3, 1)
    return sized
