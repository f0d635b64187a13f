"""A data set's images with labels and hashes, and its splits.

The hold-out is fixed: stratified by class, determined by image content. File names and order do not
matter: images are identified by the hash of their bytes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ofa_bench.data.discovery.datasets import SPLIT_SEED, DatasetSpec, Select
from ofa_bench.data.discovery.decoder import Decoder
from ofa_bench.data.discovery.file_hashes import content_digest
from ofa_bench.data.readers.images import Images, PixelImages
from ofa_bench.errors import DataError
from ofa_bench.seeding import digest, rng


@dataclass(frozen=True)
class ImageSet:
    """Images with their labels and the hashes of their bytes."""

    images: Images
    labels: tuple[int, ...]
    digests: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


def pixel_set(pixels: Tensor, labels: Sequence[int]) -> ImageSet:
    """Decoded square images in memory, uint8 [n, side, side, 3]; their hashes are the pixels'."""
    rows = pixels.reshape(len(pixels), -1).numpy()
    digests = tuple(content_digest(row.tobytes()) for row in rows)
    return ImageSet(PixelImages(pixels), tuple(labels), digests)


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


def hold_out(
    labels: Sequence[int], digests: Sequence[str], count: int, salt: str
) -> tuple[list[int], list[int]]:
    """Indices kept and indices held out, both ascending.

    Every class gives its share of `count` (largest remainders) and keeps at least one image.
    Images with equal bytes move together, so where they cannot fill a share exactly, fewer than
    `count` are held out.
    """
    open_places = _quotas(Counter(labels), count)
    held: set[int] = set()
    for group in _shuffled_groups(digests, salt):
        needs = Counter(labels[index] for index in group)
        if all(open_places[label] >= wanted for label, wanted in needs.items()):
            open_places.subtract(needs)
            held.update(group)
    return [i for i in range(len(labels)) if i not in held], sorted(held)


def content_hash(labels: Sequence[int], digests: Sequence[str]) -> str:
    """The hex hash of a split: of its images' bytes and labels in order, without names."""
    return digest(*(part for pair in zip(labels, digests, strict=True) for part in pair))


def _quotas(sizes: Counter[int], count: int) -> Counter[int]:
    total = sizes.total()
    exact = {label: count * size / total for label, size in sorted(sizes.items())}
    quota = Counter({label: int(share) for label, share in exact.items()})
    by_remainder = sorted(exact, key=lambda label: (quota[label] - exact[label], label))
    for label in by_remainder[: count - quota.total()]:
        quota[label] += 1
    return Counter({label: min(places, sizes[label] - 1) for label, places in quota.items()})


def _shuffled_groups(digests: Sequence[str], salt: str) -> list[list[int]]:
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for index, content in enumerate(digests):
        groups[content].append(index)
    order = sorted(groups)
    rng("hold-out", SPLIT_SEED, salt).shuffle(order)
    return [groups[content] for content in order]
