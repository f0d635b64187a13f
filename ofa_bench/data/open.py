"""Open a data set as a source of batches."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ofa_bench.data.discovery.datasets import DatasetSpec, Select
from ofa_bench.data.discovery.decoder import decode, read_bytes
from ofa_bench.data.discovery.file_hashes import Progress, manifest
from ofa_bench.data.discovery.layout import BIG_FILES, DataLocation, locate
from ofa_bench.data.discovery.manifest_table import Manifest
from ofa_bench.data.discovery.shared_listing import ListingFacts, SampledImages, SharedFacts
from ofa_bench.data.discovery.tree import ImageTree, list_tree
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

MANY = 50_000  # files, which other processes are asked for


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
    listed: SharedFacts | None = None,
) -> BatchSource:
    """The data set as batches of `resolution` pixels on a device.

    Small sets of one size are kept on the device, others are streamed by `workers` processes; the
    choice depends on the data and the recipe alone. `cache` replaces the folder for unpacked
    archives and hashes. `listed`: of another process, see `listing_facts`. Raises DataError if the
    data is absent or damaged.
    """
    options = Augment.of(augment)
    location = None if spec.layout == "embedded" else locate(spec, data_dir, cache)
    collection = read_collection(spec, location, progress, listed)
    splits = cut(collection, spec, select)
    kept = location.hashes.with_name(KEPT) if location else None
    if fits(collection, resolution, options):
        return Resident(spec, collection, splits, resolution, options, seed, device, kept)
    from ofa_bench.data.sources.streamed import Streamed  # torchvision: more than a second

    return Streamed(spec, collection, splits, resolution, options, seed, device, kept, workers)


def read_collection(
    spec: DatasetSpec,
    location: DataLocation | None,
    progress: Progress | None = None,
    listed: SharedFacts | None = None,
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
    if location.kind in BIG_FILES:
        sampled = listed if isinstance(listed, SampledImages) else None
        collection, facts = read_packed(location, spec, progress, sampled)
        _compared[:] = [facts]
        return collection
    _compared.clear()
    if isinstance(listed, ListingFacts) and (known := listed.read(location.root, location.hashes)):
        return of_tree(*known)
    tree = list_tree(location.root, spec, progress)
    if len(tree.files) > MANY:
        threading.Thread(target=_import_streamed).start()  # while other processes ask for files
    return of_tree(tree, manifest(tree.root, tree.files, location.hashes, progress))


def _import_streamed() -> None:
    with suppress(Exception):  # raised where it is imported again
        import ofa_bench.data.sources.streamed  # noqa: F401


def listing_facts() -> SharedFacts | None:
    """What another process of this machine needs to open the images that were opened last without
    listing them, or without comparing a sample; None if there is nothing."""
    if _compared:
        return _compared[0]
    return ListingFacts.of(*_last[0][:2]) if _last else None


_compared: list[SampledImages] = []  # of the images that were opened last: one at most
_last: list[tuple[ImageTree, Manifest, int, Collection]] = []  # one at most


def of_tree(tree: ImageTree, rows: Manifest) -> Collection:
    """The images of a listed and hashed tree; again the last result where nothing changed, so that
    runs in one process share decoded images."""
    bound = limit("image-pixels")
    for before, known, limited, collection in _last:
        if limited == bound and _alike(before, tree) and _equal(known, rows):
            return collection
    border = len(tree.train)
    collection = Collection(
        tree.classes,
        _image_set(tree.root, tree.train.labels, rows[:border], bound),
        _image_set(tree.root, tree.test.labels, rows[border:], bound),
        tree.notes,
        tree.decoder,
    )
    _last[:] = [(tree, rows, bound, collection)]
    return collection


def _alike(one: ImageTree, other: ImageTree) -> bool:
    """Whether two trees have the same classes, labels and notes."""
    facts = [(tree.root, tree.classes, tree.notes, tree.decoder) for tree in (one, other)]
    return facts[0] == facts[1] and all(
        np.array_equal(a.labels, b.labels)
        for a, b in ((one.train, other.train), (one.test, other.test))
    )


def _equal(one: Manifest, other: Manifest) -> bool:
    """Whether two manifests have the same names, hashes and shapes."""
    same = np.array_equal(one.digests, other.digests) and np.array_equal(one.shapes, other.shapes)
    return same and one.names == other.names


def _image_set(root: Path, labels: NDArray[np.int64], rows: Manifest, bound: int) -> ImageSet:
    shapes = _shapes(root, rows, bound)
    first = int(shapes[0, 0])
    side = first if (shapes == first).all() else None
    return ImageSet(FileImages(root, rows.names, side, rows.digests), labels, rows.digests)


def _shapes(root: Path, rows: Manifest, bound: int) -> NDArray[np.int64]:
    """Widths and heights, int64 [n, 2]. Raises the decoder's DataError if it would refuse a
    file."""
    shapes = rows.shapes.astype(np.int64)
    areas = shapes.prod(1)
    for row in np.flatnonzero((areas <= 0) | (areas > bound)).tolist():
        path = root / rows.names[row]
        height, width = decode(read_bytes(path), path).shape[:2]
        shapes[row] = width, height
    return shapes
