"""The metadata of a source: sizes, hashes, statistics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ofa_bench.data.discovery.datasets import SPLIT_SEED, Channels, DatasetSpec
from ofa_bench.data.discovery.decoder import Decoder
from ofa_bench.data.discovery.splits import content_hash
from ofa_bench.data.readers.image_set import Collection, ImageSplit
from ofa_bench.data.sources.held_out import HeldOutImages
from ofa_bench.data.sources.source import CALIBRATION_BATCH, CALIBRATION_IMAGES
from ofa_bench.data.transforms.augment import epoch_order
from ofa_bench.recipe.models import Augment
from ofa_bench.sanitize import printable
from ofa_bench.seeding import digest


@dataclass
class Facts:
    """Sizes, hashes and statistics of a data set with its splits."""

    name: str
    classes: int
    sizes: dict[str, int]
    resolution: int
    hash: str
    splits_hash: dict[str, str]
    calibration_images: int
    calibration_hash: str
    notes: tuple[str, ...]
    class_names: tuple[str, ...]
    decoder: Decoder | None
    held_out: HeldOutImages
    mean: Channels
    std: Channels
    workers = 0  # no processes load images, but for a stream


def facts_of(
    spec: DatasetSpec,
    collection: Collection,
    splits: dict[str, ImageSplit],
    resolution: int,
    augment: Augment,
    kept: Path | None = None,
) -> Facts:
    """The metadata of a collection with splits, a resolution and an augmentation; `kept`: the cache
    file of images known to decode."""
    parts = (collection.train, collection.test)
    listed = calibration_rows(len(splits["train"]))
    rows = [splits["train"].rows[index] for index in listed]
    transform = augment.geometry().model_dump_json()
    return Facts(
        name=spec.name,
        classes=len(collection.classes),
        sizes={name: len(split) for name, split in splits.items()},
        resolution=resolution,
        hash=digest(*(content_hash(part.labels, part.digests) for part in parts)),
        splits_hash={name: split.hash() for name, split in splits.items()},
        calibration_images=len(listed),
        calibration_hash=digest(
            splits["train"].hash(rows), transform, resolution, SPLIT_SEED, CALIBRATION_BATCH
        ),
        notes=collection.remarks(),
        class_names=tuple(map(printable, collection.classes)),
        decoder=collection.decoder,
        held_out=HeldOutImages(splits, collection.decoder, kept),
        mean=spec.mean,
        std=spec.std,
    )


def calibration_rows(train: int) -> list[int]:
    """Positions in the training split of the images that calibrate batch norm."""
    listed: list[int] = epoch_order(SPLIT_SEED, 0, train)[:CALIBRATION_IMAGES].tolist()
    return listed
