"""A data set's images with labels and hashes, and its splits.

The hold-out is fixed: stratified by class, determined by image content. File names and order do not
matter: images are identified by the hash of their bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ofa_bench.data.discovery.datasets import SPLIT_SEED, DatasetSpec, Select
from ofa_bench.data.discovery.decoder import Decoder
from ofa_bench.data.discovery.file_hashes import content_digest, digest_rows
from ofa_bench.data.readers.images import Images, PixelImages
from ofa_bench.data.readers.split_hash import content_hash, members, order_of
from ofa_bench.errors import DataError
from ofa_bench.seeding import rng


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images with their labels, int64 [n], and the hashes of their bytes, uint8 [n, 16]."""

    images: Images
    labels: NDArray[np.int64]
    digests: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.labels)


def pixel_set(pixels: Tensor, labels: Sequence[int] | NDArray[np.int64]) -> ImageSet:
    """Decoded square images in memory, uint8 [n, side, side, 3]; their hashes are the pixels'."""
    rows = pixels.reshape(len(pixels), -1).numpy()
    digests = digest_rows([content_digest(row.tobytes()) for row in rows])
    return ImageSet(PixelImages(pixels), np.array(labels, dtype=np.int64), digests)


@dataclass(frozen=True, eq=False)
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
        count = int(members(self.test.digests, self.train.digests).sum())
        if not count:
            return self.notes
        note = f"test images that are training images too, byte by byte: {count:,}"
        return (*self.notes, f"{note} of {len(self.test):,}")


@dataclass(frozen=True, eq=False)
class ImageSplit:
    """Some rows of an image set, in order: int64 [n]."""

    whole: ImageSet
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def row_index(self) -> Tensor:
        """The rows, int64 [n]."""
        return torch.from_numpy(self.rows)

    @property
    def labels(self) -> Tensor:
        """Labels, int64 [n]."""
        return torch.from_numpy(self.whole.labels[self.rows])

    def hash(self, rows: NDArray[np.int64] | None = None) -> str:
        """The hash of these images' bytes and labels, or of those of some rows of the whole set."""
        chosen = self.rows if rows is None else rows
        return content_hash(self.whole.labels[chosen], self.whole.digests[chosen])


def cut(collection: Collection, spec: DatasetSpec, select: Select) -> dict[str, ImageSplit]:
    """The splits train, select and test. Raises DataError if nothing is left to train on."""
    train, test = collection.train, collection.test
    count = spec.cut(len(train), len(test), select)["select"]
    kept, held = hold_out(train.labels, train.digests, count, "select")
    if count and not len(held):
        raise DataError(
            f"nothing can be held out of the {len(train)} training images: every class has one "
            "image, or copies of one",
            "add images to train/",
        )
    return {
        "train": ImageSplit(train, kept),
        "select": ImageSplit(train, held),
        "test": ImageSplit(test, np.arange(len(test))),
    }


def hold_out(
    labels: NDArray[np.int64], digests: NDArray[np.uint8], count: int, salt: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices kept and indices held out, both ascending, int64.

    Every class gives its share of `count` (largest remainders) and keeps at least one image.
    Images with equal bytes move together, so where they cannot fill a share exactly, fewer than
    `count` are held out.
    """
    classes, sizes = np.unique(labels, return_counts=True)
    counts = dict(zip(classes.tolist(), sizes.tolist(), strict=True))
    open_places = _quotas(Counter(counts), count)
    left = open_places.total()
    held = np.zeros(len(labels), dtype=bool)
    for group in _shuffled_groups(digests, salt):
        if not left:
            break
        needs = Counter(labels[group].tolist())
        if all(open_places[label] >= wanted for label, wanted in needs.items()):
            open_places.subtract(needs)
            left -= len(group)
            held[group] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def _quotas(sizes: Counter[int], count: int) -> Counter[int]:
    total = sizes.total()
    exact = {label: count * size / total for label, size in sorted(sizes.items())}
    quota = Counter({label: int(share) for label, share in exact.items()})
    by_remainder = sorted(exact, key=lambda label: (quota[label] - exact[label], label))
    for label in by_remainder[: count - quota.total()]:
        quota[label] += 1
    return Counter({label: min(places, sizes[label] - 1) for label, places in quota.items()})


def _shuffled_groups(digests: NDArray[np.uint8], salt: str) -> Iterator[NDArray[np.int64]]:
    """The rows of equal images, group by group: sorted by hash, then shuffled."""
    order, starts = order_of(digests)
    groups = list(range(len(starts) - 1))
    rng("hold-out", SPLIT_SEED, salt).shuffle(groups)
    return (order[starts[group] : starts[group + 1]] for group in groups)
