"""Open a data set as a source of batches."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import torch

from ofa_bench.data.discovery.datasets import DatasetSpec, Select
from ofa_bench.data.discovery.decoder import decode, read_bytes
from ofa_bench.data.discovery.file_hashes import FileHash, Progress, manifest
from ofa_bench.data.discovery.layout import DataLocation, locate
from ofa_bench.data.discovery.tree import ImageTree, Listing, list_tree
from ofa_bench.data.readers.cifar import read_pickles
from ofa_bench.data.readers.digits import read_digits
from ofa_bench.data.readers.image_set import Collection, ImageSet, cut
from ofa_bench.data.readers.images import FileImages
from ofa_bench.data.readers.mapped_pixels import read_pixels
from ofa_bench.data.readers.packed import read_packed
from ofa_bench.data.sources.known_good import KEPT
from ofa_bench.data.sources.resident import Resident, fits
from ofa_bench.data.sources.source import BatchSource
from ofa_bench.limits import limit
from ofa_bench.recipe.models import Augment


def open_source(
    spec: DatasetSpec,
    data_dir: Path | None,
    *,
    resolution: int,
    augment: Augment | Mapping[str, object],
    select: Select,
    seed: int,
    device: torch.device,
    workers: int = 0,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> BatchSource:
    """The data set as batches of `resolution` pixels on a device.

    Small sets of one size are kept on the device, others are streamed by `workers` processes; the
    choice depends on the data and the recipe alone. `cache` replaces the folder for unpacked
    archives and hashes. Raises DataError if the data is absent or damaged.
    """
    options = Augment.of(augment)
    location = None if spec.layout == "embedded" else locate(spec, data_dir, cache)
    collection = read_collection(spec, location, progress)
    splits = cut(collection, spec, select)
    kept = location.hashes.with_name(KEPT) if location else None
    if fits(collection, resolution, options):
        return Resident(spec, collection, splits, resolution, options, seed, device, kept)
    from ofa_bench.data.sources.streamed import Streamed  # torchvision: more than a second

    return Streamed(spec, collection, splits, resolution, options, seed, device, kept, workers)


def read_collection(
    spec: DatasetSpec, location: DataLocation | None, progress: Progress | None = None
) -> Collection:
    """All images of a data set, listed and hashed; the last result is cached in memory.

    `location`: the result of `locate`; None for the embedded data set.
    """
    if location is None:
        return read_digits(spec)
    if location.kind == "pickles":
        return read_pickles(spec, location)
    if location.kind == "pixels":
        return read_pixels(location.root, spec)
    if location.kind in ("shards", "parquet"):
        return read_packed(location, spec, progress)
    tree = list_tree(location.root, spec)
    entries = manifest(tree.root, tree.files, location.hashes, progress)
    return _of_tree(tree, tuple(entries), limit("image-pixels"))


@lru_cache(maxsize=1)
def _of_tree(tree: ImageTree, entries: tuple[FileHash, ...], bound: int) -> Collection:
    border = len(tree.train.files)
    return Collection(
        tree.classes,
        _image_set(tree.root, tree.train, entries[:border], bound),
        _image_set(tree.root, tree.test, entries[border:], bound),
        tree.notes,
        tree.decoder,
    )


def _image_set(root: Path, listing: Listing, entries: tuple[FileHash, ...], bound: int) -> ImageSet:
    shapes = {
        _shape(root / name, entry, bound)
        for name, entry in zip(listing.files, entries, strict=True)
    }
    width, height = next(iter(shapes))
    side = width if len(shapes) == 1 and width == height else None
    digests = tuple(entry.digest for entry in entries)
    return ImageSet(FileImages(root, listing.files, side, digests), listing.labels, digests)


def _shape(path: Path, entry: FileHash, bound: int) -> tuple[int, int]:
    """Width and height. Raises the decoder's DataError if it would refuse the file."""
    if 0 < entry.width * entry.height <= bound:
        return entry.width, entry.height
    height, width = decode(read_bytes(path), path).shape[:2]
    return width, height
