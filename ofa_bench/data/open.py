"""From a data set's spec and a folder to a source of batches."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import torch

from ofa_bench.data.collection import Collection, ImageSet, cut
from ofa_bench.data.datasets import DatasetSpec, Select
from ofa_bench.data.digits import read_digits
from ofa_bench.data.facts import facts_of
from ofa_bench.data.images import FileImages
from ofa_bench.data.layout import locate
from ofa_bench.data.listing import Listing, Tree, list_tree
from ofa_bench.data.manifest import Entry, Progress, manifest
from ofa_bench.data.mapped import read_pixels
from ofa_bench.data.pickles import read_pickles
from ofa_bench.data.resident import Resident, fits
from ofa_bench.data.source import Source
from ofa_bench.data.streamed import Streamed
from ofa_bench.errors import DataError
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
) -> Source:
    """The data set as batches of `resolution` pixels on a device.

    Small sets of one size become resident, others are streamed through `workers` processes; which
    one depends on the data and the recipe alone. `cache` replaces the folder for unpacked
    archives and hashes. DataError says what is absent or damaged, and the layout wanted.
    """
    options = Augment.of(augment)
    collection = read_collection(spec, data_dir, cache, progress)
    splits = cut(collection, spec, select)
    facts = facts_of(spec, collection, splits, resolution, options)
    if fits(collection, resolution, options):
        return Resident(facts, splits, options, seed, device)
    return Streamed(facts, splits, options, seed, device, workers)


def read_collection(
    spec: DatasetSpec,
    data_dir: Path | None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Collection:
    """All images of a data set, listed and hashed; the last one read is kept for the next run."""
    if spec.layout == "embedded":
        return read_digits(spec)
    place = locate(spec, data_dir, cache)
    if place.kind == "pickles":
        return read_pickles(spec, place)
    if place.kind == "pixels":
        return read_pixels(place.root, spec)
    tree = list_tree(place.root, spec)
    entries = manifest(
        tree.root, tree.train.files + tree.test.files, place.cache / "manifest.json", progress
    )
    return _of_tree(tree, tuple(entries))


@lru_cache(maxsize=1)
def _of_tree(tree: Tree, entries: tuple[Entry, ...]) -> Collection:
    border = len(tree.train.files)
    return Collection(
        tree.classes,
        _image_set(tree.root, tree.train, entries[:border]),
        _image_set(tree.root, tree.test, entries[border:]),
        tree.notes,
    )


def _image_set(root: Path, listing: Listing, entries: tuple[Entry, ...]) -> ImageSet:
    broken = [n for n, e in zip(listing.files, entries, strict=True) if not e.width]
    if broken:
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        raise DataError(
            f"{root / broken[0]}{more} is corrupt, truncated, or no image",
            "replace or remove the file; `ofa-bench data check` finds all such files",
        )
    shapes = {(entry.width, entry.height) for entry in entries}
    width, height = next(iter(shapes))
    side = width if len(shapes) == 1 and width == height else None
    images = FileImages(root, listing.files, side)
    return ImageSet(images, listing.labels, tuple(entry.digest for entry in entries))
