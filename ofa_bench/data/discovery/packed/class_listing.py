"""List a data set whose training images are in an archive a class. Torch-free.

The test images may be in archives too, or in files, as a tree has them: a file is then a source
with one image, from its first byte.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ofa_bench.data.discovery.datasets import DatasetSpec
from ofa_bench.data.discovery.decoder import decoder
from ofa_bench.data.discovery.file_hashes import Progress, audit, manifest
from ofa_bench.data.discovery.layout import DataLocation, sealed_part
from ofa_bench.data.discovery.packed.class_tars import class_of, class_samples, class_tars
from ofa_bench.data.discovery.packed.listing import (
    INDEX_FOLDER,
    PackedPart,
    PackedSet,
    check_counts,
    notes_on_images,
)
from ofa_bench.data.discovery.packed.samples import Samples, joined, kept_samples, stamp
from ofa_bench.data.discovery.tree import Listing, list_sealed
from ofa_bench.errors import DataError


def list_class_tars(
    location: DataLocation,
    spec: DatasetSpec,
    progress: Progress | None = None,
    anew: bool = False,
) -> PackedSet:
    """List and hash a data set with an archive a class; files that did not change are not read
    again. `anew`: read all of them.

    Raises DataError if an archive is damaged or not of one class, or the classes of the test images
    are others.
    """
    root = location.root
    paths = class_tars(root / "train")
    classes = tuple(class_of(path) for path in paths)
    if len(classes) < 2 or spec.classes not in (None, len(classes)):
        raise DataError(
            f"{root / 'train'} has {len(classes)} archives of classes, {spec.name} has "
            f"{spec.classes or 'two or more'}: it is another data set, or a part of one",
            f"wanted: {spec.wanted}; for your own images use --dataset folder",
        )
    tested = sealed_part(root) or "test"
    held = class_tars(root / tested)
    notes: tuple[str, ...] = ()
    if held:
        _check_equal(root, tested, classes, tuple(class_of(path) for path in held))
    tables = kept_samples(
        paths + held,
        location.hashes.with_name(INDEX_FOLDER),
        location.kind,
        class_samples,
        progress,
        anew,
    )
    train = _part(paths, tables[: len(paths)])
    if held:
        test = _part(held, tables[len(paths) :])
    else:
        listing, notes = list_sealed(root, tested, classes, spec, progress)
        test = _files(location, listing, progress, anew)
    check_counts(train, classes, spec, "train")
    check_counts(test, classes, spec, tested)
    notes += notes_on_images(classes, (len(train), len(test)), spec)
    return PackedSet("class-tars", root, classes, train, test, notes, decoder())


def _check_equal(root: Path, tested: str, classes: Sequence[str], held: Sequence[str]) -> None:
    if tuple(classes) != tuple(held):
        name = min(set(classes) ^ set(held))
        here, there = ("train", tested) if name in classes else (tested, "train")
        raise DataError(
            f"{root} has an archive of the class {name} in {here}/ but not in {there}/",
            "both need the same classes; fetch what is missing",
        )


def _part(paths: Sequence[Path], tables: Sequence[Samples]) -> PackedPart:
    counts = [len(table) for table in tables]
    sources = np.repeat(np.arange(len(paths), dtype=np.int32), counts)
    samples = replace(joined(tables), labels=sources.astype(np.int64))
    return PackedPart(tuple(paths), sources, samples)


def _files(
    location: DataLocation, listing: Listing, progress: Progress | None, anew: bool
) -> PackedPart:
    """Images in files, hashed as those of a tree."""
    if anew:
        audit(location.root, listing.files, location.hashes, progress)
    rows = manifest(location.root, listing.files, location.hashes, progress)
    count = len(rows)
    sizes = rows.stamps[:, 0].copy()
    for row in np.flatnonzero(sizes < 0).tolist():  # a file too new for its stamp to be kept
        sizes[row] = stamp(location.root / listing.files[row])[0]
    spans = np.stack([np.zeros(count, dtype=np.int64), sizes], axis=1)
    names = [os.fsencode(name.rpartition("/")[2]) for name in listing.files]
    samples = Samples(
        np.array(names, dtype="S"),
        np.arange(count, dtype=np.uint64),
        spans,
        np.zeros((count, 2), dtype=np.int32),
        listing.labels,
        np.array(rows.digests),
        rows.shapes.astype(np.int64),
    )
    files = tuple(location.root / name for name in listing.files)
    return PackedPart(files, np.arange(count, dtype=np.int32), samples)
