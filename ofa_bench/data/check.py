"""`data check`: decode every image, count images, and report duplicates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa_bench.data.discovery.datasets import DatasetSpec
from ofa_bench.data.discovery.decoder import reading_threads
from ofa_bench.data.discovery.file_hashes import Progress, audit, manifest
from ofa_bench.data.discovery.layout import BIG_FILES, DataLocation, locate
from ofa_bench.data.discovery.packed.listing import PackedPart, PackedSet, list_packed
from ofa_bench.data.discovery.tree import list_tree
from ofa_bench.data.open import read_collection
from ofa_bench.data.readers.images import read_image
from ofa_bench.data.readers.mapped_pixels import MappedImages
from ofa_bench.data.readers.packed import PackedImages
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
    if location is not None and location.kind in BIG_FILES:
        return _packed(spec, location, progress, deep)
    if location is None or location.kind != "tree":
        return _prepared(spec, location, deep)
    tree = list_tree(location.root, spec, progress)
    changed = audit(tree.root, tree.files, location.hashes, progress) if deep else []
    rows = manifest(tree.root, tree.files, location.hashes, progress)

    def read(row: int) -> object:
        return read_image(tree.root / rows.names[row], rows.digests[row].tobytes())

    with KnownGood(location.hashes.with_name(KEPT), tree.decoder) as good:
        broken = tuple(_undecodable(rows.names.__getitem__, read, rows.digests, good, progress))
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


def _packed(
    spec: DatasetSpec, location: DataLocation, progress: Progress | None, deep: bool
) -> DataReport:
    """The report on images in shards or parquet files; every image is decoded."""
    names: list[str] = []
    broken: list[Broken] = []
    before = None
    try:
        before = list_packed(location, spec, progress)
    except DataError as error:  # of kept hashes that are wrong: what is damaged is met again below
        if not deep:
            raise
        broken.append(Broken(str(location.root), error.message))
    packed = None if deep else before
    packed = packed or list_packed(location, spec, progress, anew=True)
    with KnownGood(location.hashes.with_name(KEPT), packed.decoder) as good:
        for part, kept in _with_kept(packed, before):
            names += map(part.name, range(len(part)))
            hashes = part.samples.hashes
            if deep and kept is not None and len(part) == len(kept):
                changed = np.flatnonzero((hashes != kept.samples.hashes).any(1))
                broken += (Broken(part.name(row), CHANGED) for row in changed.tolist())
            images = PackedImages(part, spec, None)
            broken += _undecodable(part.name, images.decode, hashes, good, progress)
    train, test = packed.train.samples, packed.test.samples
    return DataReport(
        dataset=spec.name,
        root=str(packed.root),
        images={"train": len(train), "test": len(test)},
        classes=_counts(packed.classes, train.labels, test.labels),
        sides=_sides(np.concatenate([train.shapes, test.shapes])),
        broken=tuple(broken),
        copies=_copies(names, np.concatenate([train.hashes, test.hashes]), len(train)),
        notes=packed.notes,
    )


def _with_kept(
    packed: PackedSet, before: PackedSet | None
) -> tuple[tuple[PackedPart, PackedPart | None], ...]:
    """Both parts, with what was kept of them where that was readable."""
    kept = (before.train, before.test) if before else (None, None)
    return (packed.train, kept[0]), (packed.test, kept[1])


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


def _sides(shapes: NDArray[Any]) -> dict[str, tuple[int, int]]:
    pairs = np.unique(shapes.astype(np.int64) @ [1 << 32, 1]).tolist()
    known = [(pair >> 32, pair & (1 << 32) - 1) for pair in pairs if pair >> 32]
    ends = {"smallest": min, "largest": max} if known else {}
    return {name: end(known, key=prod) for name, end in ends.items()}


def _undecodable(
    name: Callable[[int], str],
    read: Callable[[int], object],
    digests: NDArray[np.uint8],
    good: KnownGood,
    progress: Progress | None,
) -> Iterator[Broken]:
    """The images that do not decode; every one is decoded, cached or not."""

    def trial(row: int) -> Broken | None:
        try:
            read(row)
        except DataError as error:
            raisable = f"; {error.hint}" if "--limit" in error.hint else ""
            return Broken(name(row), error.message + raisable)
        return None

    with reading_threads() as pool:
        for row, broken in enumerate(pool.imap(trial, range(len(digests)), chunksize=32)):
            if broken:
                yield broken
            else:
                good.add(digests[row].tobytes())
            if progress:
                progress("decoding files", row + 1, len(digests))


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
