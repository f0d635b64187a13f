"""`data check`: decode every image, count images, and report duplicates."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from ofa_bench.data.discovery.datasets import DatasetSpec
from ofa_bench.data.discovery.decoder import reading_threads
from ofa_bench.data.discovery.file_hashes import FileHash, Progress, audit, manifest
from ofa_bench.data.discovery.layout import DataLocation, locate
from ofa_bench.data.discovery.tree import ImageTree, list_tree
from ofa_bench.data.open import read_collection
from ofa_bench.data.readers.images import read_image
from ofa_bench.data.readers.mapped_pixels import MappedImages
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
    tree = list_tree(location.root, spec)
    changed = audit(tree.root, tree.files, location.hashes, progress) if deep else []
    entries = manifest(tree.root, tree.files, location.hashes, progress)
    digests = [entry.digest for entry in entries]
    with KnownGood(location.hashes.with_name(KEPT), tree.decoder) as good:
        broken = tuple(_undecodable(tree, digests, good, progress))
    return DataReport(
        dataset=spec.name,
        root=str(tree.root),
        images={"train": len(tree.train.files), "test": len(tree.test.files)},
        classes=_counts(tree.classes, tree.train.labels, tree.test.labels),
        sides=_sides(entries),
        broken=(*(Broken(name, CHANGED) for name in changed), *broken),
        copies=_copies(tree.files, digests, len(tree.train.files)),
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
        copies=_copies(names, [*train.digests, *test.digests], len(train)),
        notes=collection.remarks(),
    )


def _counts(
    classes: tuple[str, ...], train: tuple[int, ...], test: tuple[int, ...]
) -> dict[str, dict[str, int]]:
    trained, tested = Counter(train), Counter(test)
    return {
        name: {"train": trained[label], "test": tested[label]} for label, name in enumerate(classes)
    }


def _sides(entries: list[FileHash]) -> dict[str, tuple[int, int]]:
    shapes = [(entry.width, entry.height) for entry in entries if entry.width]
    ends = {"smallest": min, "largest": max} if shapes else {}
    return {name: end(shapes, key=prod) for name, end in ends.items()}


def _undecodable(
    tree: ImageTree, digests: list[str], good: KnownGood, progress: Progress | None
) -> Iterator[Broken]:
    """The files that do not decode; every file is decoded, cached or not."""

    def trial(item: tuple[str, str]) -> Broken | None:
        name, digest = item
        try:
            read_image(tree.root / name, digest)
        except DataError as error:
            raisable = f"; {error.hint}" if "--limit" in error.hint else ""
            return Broken(name, error.message + raisable)
        return None

    items = zip(tree.files, digests, strict=True)
    with reading_threads() as pool:
        for number, broken in enumerate(pool.imap(trial, items, chunksize=32)):
            if broken:
                yield broken
            else:
                good.add(digests[number])
            if progress:
                progress(number + 1, len(digests))


def _copies(
    files: Sequence[str], digests: list[str], train: int
) -> dict[str, tuple[tuple[str, ...], ...]]:
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for index, content in enumerate(digests):
        groups[content].append(index)
    groups_by_split: dict[str, list[tuple[str, ...]]] = {"train": [], "test": [], "both": []}
    for group in groups.values():
        if len(group) > 1:
            inside = "train" if group[-1] < train else "test" if group[0] >= train else "both"
            groups_by_split[inside].append(tuple(files[index] for index in group))
    return {where: tuple(sets) for where, sets in groups_by_split.items()}
