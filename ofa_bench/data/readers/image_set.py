"""A data set's images with labels and hashes, and its splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ofa_bench.data.discovery.datasets import DatasetSpec, Select
from ofa_bench.data.discovery.decoder import Decoder
from ofa_bench.data.discovery.splits import content_hash, hold_out
from ofa_bench.data.readers.images import Images
from ofa_bench.errors import DataError


@dataclass(frozen=True)
class ImageSet:
    """Images with their labels and the hashes of their bytes."""

    images: Images
    labels: tuple[int, ...]
    digests: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Collection:
    """A data set's train and test images, its class names, and notes for the record.

    `decoder`: the decoder of its files; None if there was none or it is unknown.
    """

    classes: tuple[str, ...]
    train: ImageSet
    test: ImageSet
    notes: tuple[str, ...] = ()
    decoder: Decoder | None = None

    def remarks(self) -> tuple[str, ...]:
        """The notes, and one on test images with the same bytes as a training image."""
        trained = set(self.train.digests)
        count = sum(digest in trained for digest in self.test.digests)
        if not count:
            return self.notes
        note = f"test images that are training images too, byte by byte: {count:,}"
        return (*self.notes, f"{note} of {len(self.test):,}")


@dataclass(frozen=True)
class ImageSplit:
    """Some rows of an image set, in order."""

    whole: ImageSet
    rows: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def row_index(self) -> Tensor:
        """The rows, int64 [n]."""
        return torch.tensor(self.rows, dtype=torch.int64)

    @property
    def labels(self) -> Tensor:
        """Labels, int64 [n]."""
        return torch.tensor([self.whole.labels[row] for row in self.rows], dtype=torch.int64)

    def hash(self, rows: Sequence[int] | None = None) -> str:
        """The hash of these images' bytes and labels, or of those of some rows of the whole set."""
        chosen = self.rows if rows is None else rows
        labels = [self.whole.labels[row] for row in chosen]
        return content_hash(labels, [self.whole.digests[row] for row in chosen])


def cut(collection: Collection, spec: DatasetSpec, select: Select) -> dict[str, ImageSplit]:
    """The splits train, select and test. Raises DataError if nothing is left to train on."""
    train, test = collection.train, collection.test
    count = spec.cut(len(train), len(test), select)["select"]
    kept, held = hold_out(train.labels, train.digests, count, "select")
    if count and not held:
        raise DataError(
            f"nothing can be held out of the {len(train)} training images: every class has one "
            "image, or copies of one",
            "add images to train/",
        )
    return {
        "train": ImageSplit(train, tuple(kept)),
        "select": ImageSplit(train, tuple(held)),
        "test": ImageSplit(test, tuple(range(len(test)))),
    }
