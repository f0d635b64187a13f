"""`data check`: decode every image, count images, and report duplicates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa_bench.data.discovery.datasets import DatasetSpec
from ofa_bench.data.discovery.decoder import reading_threads
from ofa_bench.data.discovery.file_hashes import Progress, audit, manifest
from ofa_bench.data.discovery.layout import DataLocation, locate
from ofa_bench.data.discovery.manifest_table import Manifest
from ofa_bench.data.discovery.tree import list_tree
from ofa_bench.data.open import read_collection
from ofa_bench.data.readers.images import read_image
from ofa_bench.data.readers.mapped_pixels import MappedImages
from ofa_bench.data.readers.split_hash import order_of
from ofa_bench.data.sources.known_good import KEPT, KnownGood
from ofa_bench.errors import DataError

CHANGED = "its bytes changed although its size and times did not; its hash is right again now"


@dataclass(frozen=True)
class Broken:
    """A file that does not decode, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class DataReport:
    """The result of a check. `copies`: groups of files with equal bytes, by split."""

    dataset: str
    root: str
    images: dict[str, int]
    classes: dict[str, dict[str, int]]
    sides: dict[str, tuple[int, int]]
    broken: tuple[Broken, ...]
    copies: dict[str, tuple[tuple[str, ...], ...]]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether every image decodes; copies and notes do not count."""
        return not self.broken


def check(
    spec: DatasetSpec,
    data_dir: Path | None,
    cache: Path | None = None,
    progress: Progress | None = None,
    deep: bool = False,
) -> DataReport:
    """Check a whole data set. Raises DataError if it is absent or its folders are invalid.

    `progress` is called while files are hashed, and again while they are decoded. Hashes and
    decoded images are cached, also on an error, so that another check or a run can continue. With
    `deep` the cache is ignored: files are hashed again, and all prepared pixels are compared with
    their hashes.
    """
    location = locate(spec, data_dir, cache) if spec.layout == "tree" else None
    if location is None or location.kind != "tree":
        return _prepared(spec, location, deep)
    tree = list_tree(location.root, spec, progress)
    changed = audit(tree.root, tree.files, location.hashes, progress) if deep else []
    rows = manifest(tree.root, tree.files, location.hashes, progress)
    with KnownGood(location.hashes.with_name(KEPT), tree.decoder) as good:
        broken = tuple(_undecodable(tree.root, rows, good, progress))
    return DataReport(
        dataset=spec.name,
        root=str(tree.root),
        images={"train": len(tree.train), "test": len(tree.test)},
        classes=_counts(tree.classes, tree.train.labels, tree.test.labels),
        sides=_sides(rows.shapes),
        broken=(*(Broken(name, CHANGED) for name in changed), *broken),
        copies=_copies(rows.names, rows.digests, len(tree.train)),
        notes=tree.notes,
    )


def _prepared(spec: DatasetSpec, location: DataLocation | None, deep: bool) -> DataReport:
    """The report on images that are embedded, or were decoded before."""
    collection = read_collection(spec, location)
    train, test = collection.train, collection.test
    for part in (train, test) if deep else ():
        if isinstance(part.images, MappedImages):
            part.images.check(range(len(part)))
    side = train.images.side
    names = [f"train[{index}]" for index in range(len(train))]
    names += [f"test[{index}]" for index in range(len(test))]
    return DataReport(
        dataset=spec.name,
        root=str(location.root / (spec.pickles or ".")) if location else "(embedded)",
        images={"train": len(train), "test": len(test)},
        classes=_counts(collection.classes, train.labels, test.labels),
        sides={"smallest": (side, side), "largest": (side, side)} if side else {},
        broken=(),
        copies=_copies(names, np.concatenate([train.digests, test.digests]), len(train)),
        notes=collection.remarks(),
    )


def _counts(
    classes: tuple[str, ...], train: NDArray[np.int64], test: NDArray[np.int64]
) -> dict[str, dict[str, int]]:
    trained, tested = (np.bincount(part, minlength=len(classes)) for part in (train, test))
    return {
        name: {"train": int(trained[label]), "test": int(tested[label])}
        for label, name in enumerate(classes)
    }


def _sides(shapes: NDArray[np.int32]) -> dict[str, tuple[int, int]]:
    known = [(width, height) for width, height in np.unique(shapes, axis=0).tolist() if width]
    ends = {"smallest": min, "largest": max} if known else {}
    return {name: end(known, key=prod) for name, end in ends.items()}


def _undecodable(
    root: Path, rows: Manifest, good: KnownGood, progress: Progress | None
) -> Iterator[Broken]:
    """The files that do not decode; every file is decoded, cached or not."""

    def trial(row: int) -> Broken | None:
        name = rows.names[row]
        try:
            read_image(root / name, rows.digests[row].tobytes())
        except DataError as error:
            raisable = f"; {error.hint}" if "--limit" in error.hint else ""
            return Broken(name, error.message + raisable)
        return None

    with reading_threads() as pool:
        for row, broken in enumerate(pool.imap(trial, range(len(rows)), chunksize=32)):
            if broken:
                yield broken
            else:
                good.add(rows.digests[row].tobytes())
            if progress:
                progress("decoding files", row + 1, len(rows))


def _copies(
    files: Sequence[str], digests: NDArray[np.uint8], train: int
) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Groups of equal images by split, in the order of their first image."""
    order, starts = order_of(digests)
    several = np.flatnonzero(np.diff(starts) > 1)
    groups = [order[starts[group] : starts[group + 1]].tolist() for group in several]
    groups_by_split: dict[str, list[tuple[str, ...]]] = {"train": [], "test": [], "both": []}
    for group in sorted(groups):
        inside = "train" if group[-1] < train else "test" if group[0] >= train else "both"
        groups_by_split[inside].append(tuple(files[index] for index in group))
    return {where: tuple(sets) for where, sets in groups_by_split.items()}
