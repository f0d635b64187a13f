"""What a source of batches tells of its data set, and what it gives: resident or streamed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from ofa_bench.data.discovery.datasets import SPLIT_SEED, Channels, DatasetSpec
from ofa_bench.data.discovery.decoder import reading_threads
from ofa_bench.data.discovery.file_hashes import Progress
from ofa_bench.data.readers.image_set import Collection, ImageSplit
from ofa_bench.data.readers.images import EncodedImages
from ofa_bench.data.readers.split_hash import content_hash
from ofa_bench.data.sources.batch import Address, MicroBatch, Normalise
from ofa_bench.data.sources.known_good import KnownGood
from ofa_bench.data.transforms.augment import epoch_order
from ofa_bench.recipe.models import Augment
from ofa_bench.sanitize import printable
from ofa_bench.seeding import digest

CALIBRATION_IMAGES = 2000
CALIBRATION_BATCH = 200

HeldOut = Literal["select", "test"]


@dataclass(frozen=True)
class Preprocessing:
    """How a held-out image becomes the network's input, in words that another program can follow:
    resize the short side to `resize` pixels (bilinear, antialiased), cut the centre of
    `resolution`, divide by 255, normalise by channel.

    `arithmetic`: whether resizing computes in floating point and rounds, or in whole numbers.
    """

    resize: int
    resolution: int
    arithmetic: Literal["float", "uint8"]
    mean: Channels
    std: Channels


@dataclass(eq=False)
class BatchSource(ABC):
    """Batches of a data set with its splits, augmented, on the run's device.

    `resolution`: side of the training images, in pixels: the largest the space draws. `known_good`:
    the cache file of images known to decode. `workers`: processes that load images, of each stream
    of batches. `sizes`: images in train, select and test. `hash`: of the bytes of all images,
    before the cut. `notes`: remarks a record keeps, such as another list of classes than the usual
    one. `decoder`: of the files; None if no file was decoded.
    """

    spec: DatasetSpec
    collection: Collection
    splits: dict[str, ImageSplit]
    resolution: int
    augment: Augment
    seed: int
    device: torch.device
    known_good: Path | None = None
    workers: int = 0

    def __post_init__(self) -> None:
        train, parts = self.splits["train"], (self.collection.train, self.collection.test)
        calibration = epoch_order(SPLIT_SEED, 0, len(train))[:CALIBRATION_IMAGES].numpy()
        self.mean, self.std = self.spec.mean, self.spec.std
        self.normalise = Normalise(self.mean, self.std, self.device)
        self.classes = len(self.collection.classes)
        self.class_names = tuple(map(printable, self.collection.classes))  # in label order
        self.sizes = {name: len(split) for name, split in self.splits.items()}
        self.hash = digest(*(content_hash(part.labels, part.digests) for part in parts))
        self.splits_hash = {name: split.hash() for name, split in self.splits.items()}
        self.calibration_images = len(calibration)
        self.calibration_hash = digest(
            train.hash(train.rows[calibration]),
            self.augment.geometry().model_dump_json(),
            self.resolution,
            SPLIT_SEED,
            CALIBRATION_BATCH,
        )
        self.notes = self.collection.remarks()
        self.decoder = self.collection.decoder

    def check_held_out(self, progress: Progress | None = None) -> None:
        """Decode the select and test images that are not known to decode, before training starts.

        Raises DataError for the first that fails. Decoded images are cached by content, so that the
        next run skips them.
        """
        known = KnownGood(self.known_good, self.decoder)
        pending: list[tuple[EncodedImages, int]] = []
        for split in (self.splits["select"], self.splits["test"]):
            if isinstance(files := split.whole.images, EncodedImages):
                rows = split.rows[~known.has(files.digests[split.rows])]
                pending += [(files, row) for row in rows.tolist()]

        def trial(item: tuple[EncodedImages, int]) -> bytes:
            files, row = item
            files.decode(row)
            return bytes(files.digests[row])

        with known, reading_threads() as pool:
            for done, content in enumerate(pool.imap(trial, pending, chunksize=8), start=1):
                known.add(content)
                if progress:
                    progress("decoding held-out images", done, len(pending))

    @abstractmethod
    def batches(self, addresses: Iterable[Address]) -> Iterator[MicroBatch]:
        """Training batches in the order of the addresses. Raises DataError for a damaged image."""

    @abstractmethod
    def evaluation(
        self, split: HeldOut, resolution: int, chunk: int, wanted: Sequence[int] | None = None
    ) -> Iterator[MicroBatch]:
        """A split in fixed order, in batches of `chunk` images, with the evaluation transform.

        `wanted`: the ascending numbers of the batches to return; all of them if None.
        """

    @abstractmethod
    def calibration(self, resolution: int) -> Iterator[MicroBatch]:
        """Fixed training images in batches of 200, cropped and flipped as in training."""

    @abstractmethod
    def preprocessing(self, resolution: int) -> Preprocessing:
        """What `evaluation` does to an image."""

    def loading(self) -> dict[str, object]:
        """How images are loaded, for `machine.details` of a record: workers, and where colours are
        jittered. Empty if they lie in memory."""
        return {}

    def close(self) -> None:  # noqa: B027
        """Stop the workers of all streams, if it has any; the source can be used again."""
