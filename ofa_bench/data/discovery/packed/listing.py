"""List the images of a data set in shards or parquet files, in the order of a tree. Torch-free.

The order is that of the class folders the images would lie in: by class name, within a class by
file name; parquet rows without file names keep their order. Thus hashes and draws are the tree's.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ofa_bench.data.discovery.datasets import DatasetSpec
from ofa_bench.data.discovery.decoder import Decoder, decoder, read_bytes
from ofa_bench.data.discovery.file_hashes import SAMPLE, Progress
from ofa_bench.data.discovery.layout import DataLocation
from ofa_bench.data.discovery.packed.parquet import columns_of, opened_parquet, parquet_samples
from ofa_bench.data.discovery.packed.parts import (
    INNER,
    PackedParts,
    gaps,
    is_shard,
    packed_parts,
)
from ofa_bench.data.discovery.packed.samples import Proceed, Samples, joined, kept_samples
from ofa_bench.data.discovery.packed.shards import shard_samples
from ofa_bench.errors import DataError
from ofa_bench.limits import limit

NAMES = "classes.txt"
INDEX_FOLDER = "packed"
UNLABELLED = -1


@dataclass(frozen=True, eq=False)
class PackedPart:
    """The images of one split, in order: `sources` int32 [n] are positions in `files`."""

    files: tuple[Path, ...]
    sources: NDArray[np.int32]
    samples: Samples

    def __len__(self) -> int:
        return len(self.samples)

    def name(self, index: int) -> str:
        """The file and what the image is called in it, for messages."""
        group, row = self.samples.rows[index].tolist()
        inner = self.samples.names[index].decode("utf-8", "backslashreplace")
        if self.samples.spans[index, 0] < 0 or not inner:
            inner = f"row {row} of row group {group}" + (f" ({inner})" if inner else "")
        return f"{self.files[self.sources[index]]}: {inner}"


@dataclass(frozen=True, eq=False)
class PackedSet:
    """A data set in big files: class names in label order, both parts, notes for the record."""

    kind: Literal["shards", "parquet", "class-tars"]
    root: Path
    classes: tuple[str, ...]
    train: PackedPart
    test: PackedPart
    notes: tuple[str, ...]
    decoder: Decoder


def list_packed(
    location: DataLocation,
    spec: DatasetSpec,
    progress: Progress | None = None,
    anew: bool = False,
) -> PackedSet:
    """List and hash a data set in big files; files that did not change are not read again.

    `anew`: read all of them. Raises DataError if a file is damaged, a key comes twice, labels are
    missing or out of range, or a class has no images.
    """
    if location.kind == "class-tars":
        from ofa_bench.data.discovery.packed.class_listing import list_class_tars

        return list_class_tars(location, spec, progress, anew)
    parts = packed_parts(location.root)
    assert parts is not None, "located as such"
    tested = _tested(parts, location.root, spec)
    files = parts.splits["train"] + parts.splits[tested]
    home = location.hashes.with_name(INDEX_FOLDER)

    def reader(path: Path, proceed: Proceed) -> Samples:
        if parts.kind == "parquet":
            return parquet_samples(path, spec, proceed)
        return shard_samples(path, proceed)

    tables = kept_samples(files, home, f"{parts.kind} {spec.classes}", reader, progress, anew)
    names = _class_names(parts, location.root, spec)
    border = len(parts.splits["train"])
    train = _part(files[:border], tables[:border])
    test = _part(files[border:], tables[border:])
    tables.clear()  # they are copies by now
    classes = _classes(names, (train, test), spec, location.root)
    order = _label_order(names, classes, spec)
    rank = np.argsort(order)
    train, test = (_ordered(part, rank) for part in (train, test))
    ordered = tuple(classes[label] for label in order)
    check_counts(train, ordered, spec, "train")
    check_counts(test, ordered, spec, tested)
    notes = _notes(parts, tested, ordered, (len(train), len(test)), spec)
    return PackedSet(parts.kind, location.root, ordered, train, test, notes, decoder())


def _tested(parts: PackedParts, root: Path, spec: DatasetSpec) -> str:
    """The split of the sealed test: `test` where it has labels, else `val`."""
    for split in ("test", "val"):
        files = parts.splits.get(split, ())
        if files and ("val" not in parts.splits or split == "val" or _labelled(parts, files, spec)):
            return split
    raise DataError(
        f"{root} has {parts.kind} of train but none of val or test",
        f"wanted: names such as NAME-train-000000.tar and NAME-val-000000.tar, or {spec.wanted}",
    )


def _labelled(parts: PackedParts, files: Sequence[Path], spec: DatasetSpec) -> bool:
    if parts.kind == "shards":
        return any(is_shard(path) for path in files[:2])
    with opened_parquet(files[0]) as file:
        label = columns_of(files[0], file, spec).label
        for batch in file.iter_batches(256, columns=[label]):
            return any(value != UNLABELLED for value in batch.column(0).to_pylist())
    return False


def _class_names(parts: PackedParts, root: Path, spec: DatasetSpec) -> tuple[str, ...]:
    """Class names by label: the parquet files', those of classes.txt, or none."""
    if parts.kind == "parquet":
        lists = {}
        for path in (parts.splits["train"][0], parts.splits["train"][-1]):
            with opened_parquet(path) as file:
                lists[columns_of(path, file, spec).classes] = path
        if len(lists) > 1:
            first, last = lists.values()
            raise DataError(f"{first} and {last} name other classes", "they are of two data sets")
        return next(iter(lists))
    listed = [base / NAMES for base in (root, root / INNER) if (base / NAMES).is_file()]
    if not listed:
        return ()
    path = listed[0]
    text = read_bytes(path).decode("utf-8", "surrogateescape")
    names = tuple(line.rstrip("\r") for line in text.split("\n") if line.strip())
    if len(set(names)) < len(names) or len(names) > limit("parquet-names"):
        raise DataError(f"{path} names a class twice, or too many", "one name a line, from label 0")
    return names


def _part(files: Sequence[Path], tables: Sequence[Samples]) -> PackedPart:
    sources = np.repeat(np.arange(len(tables), dtype=np.int32), [len(table) for table in tables])
    part = PackedPart(tuple(files), sources, joined(tables))
    _check_keys(part)
    return part


def _check_keys(part: PackedPart) -> None:
    """Raise DataError if a key comes twice in shards of one split."""
    if not part.files[0].name.endswith(".tar"):
        return
    keys, counts = np.unique(part.samples.keys, return_counts=True)
    if len(keys) == len(part):
        return
    first, second = np.flatnonzero(part.samples.keys == keys[counts > 1][0])[:2].tolist()
    raise DataError(
        f"the key of {part.name(first)} comes twice, in {part.files[part.sources[second]]} too",
        "a key names one image of a split: remove the copy, or pack the shards anew",
    )


def _classes(
    names: tuple[str, ...], parts: Sequence[PackedPart], spec: DatasetSpec, root: Path
) -> tuple[str, ...]:
    """Class names by label; numbers where there are no names."""
    for part in parts:
        labels = part.samples.labels
        most = len(names) or spec.classes
        wrong = np.flatnonzero((labels < 0) | (labels >= most if most else False))
        if len(wrong):
            raise DataError(
                f"{part.name(int(wrong[0]))} has the label {labels[wrong[0]]}, where there are "
                f"{most or 'no negative'} classes"
                + (f" ({len(wrong) - 1:,} more such labels)" if len(wrong) > 1 else ""),
                f"labels are numbers from 0, of the class names in {NAMES} or in the parquet files",
            )
    if not names and spec.usual_classes:
        raise DataError(
            f"{root} does not name its classes, so which of {spec.name}'s they are is not known",
            f"write their {spec.classes} names in label order into {root / NAMES}, one a line",
        )
    highest = max(int(part.samples.labels.max(initial=-1)) for part in parts)
    count = len(names) or spec.classes or highest + 1
    if count < 2 or spec.classes not in (None, count):
        raise DataError(
            f"{root} has {count} classes, {spec.name} has {spec.classes or 'two or more'}: it is "
            "another data set, or a part of one",
            f"wanted: {spec.wanted}; for your own images use --dataset folder",
        )
    return names or tuple(str(number) for number in range(count))


def _label_order(
    names: tuple[str, ...], classes: tuple[str, ...], spec: DatasetSpec
) -> NDArray[np.int64]:
    """The labels of the files in the order of our labels: by class name, as folders are.

    A data set with labels known to everybody keeps them, unless its usual names say otherwise:
    ImageNet's English names sort otherwise than the folders.
    """
    if names and (spec.classes is None or tuple(sorted(names)) == spec.usual_classes):
        return np.array(sorted(range(len(names)), key=names.__getitem__), dtype=np.int64)
    return np.arange(len(classes), dtype=np.int64)


def _ordered(part: PackedPart, rank: NDArray[np.int64]) -> PackedPart:
    """The images in the order of a tree, labels by the sorted class names."""
    samples = replace(part.samples, labels=rank[part.samples.labels])
    named = all(samples.names)
    order = np.lexsort((samples.names, samples.labels) if named else (samples.labels,))
    return PackedPart(part.files, part.sources[order], samples.at(order))


def check_counts(part: PackedPart, classes: tuple[str, ...], spec: DatasetSpec, split: str) -> None:
    counts = np.bincount(part.samples.labels, minlength=len(classes))
    fewest = int(counts.argmin())
    if not counts[fewest]:
        more = f" (and {int((counts == 0).sum()) - 1} more)" if (counts == 0).sum() > 1 else ""
        raise DataError(
            f"{part.files[0].parent} has no {split} images of the class {classes[fewest]}{more}",
            "every class needs images in train and in val or test; is a file missing?",
        )
    if spec.balanced and counts.min() != counts.max():
        raise DataError(
            f"{part.files[0].parent} has {counts.min():,} {split} images of the class "
            f"{classes[fewest]} where others have {counts.max():,}: {spec.name} has equally many "
            "of each, so rows are missing",
            "fetch the files again; for a set of your own use --dataset folder",
        )


def _notes(
    parts: PackedParts,
    tested: str,
    classes: tuple[str, ...],
    counts: tuple[int, int],
    spec: DatasetSpec,
) -> tuple[str, ...]:
    notes = [*notes_on_images(classes, counts, spec), *gaps(parts)]
    others = {"test", "val"} & parts.splits.keys() - {tested}
    if others:
        reason = "was left alone" if tested == "test" else "has no labels"
        notes.append(f"{tested} was used for the sealed test; {others.pop()} {reason}")
    return tuple(notes)


def notes_on_images(
    classes: tuple[str, ...], counts: tuple[int, int], spec: DatasetSpec
) -> tuple[str, ...]:
    """What is unusual for the data set: its classes, or the counts of its images."""
    notes = []
    if spec.usual_classes and classes != spec.usual_classes:
        unusual = len(set(classes) - set(spec.usual_classes))
        notes.append(
            f"not the usual class list of {spec.name}: {unusual} of its classes are others"
        )
    if spec.train_total and spec.test and counts != (spec.train_total, spec.test):
        notes.append(
            f"{counts[0]} training and {counts[1]} test images, where the usual {spec.name} has "
            f"{spec.train_total} and {spec.test}"
        )
    return tuple(notes)


def sampled(part: PackedPart) -> list[int]:
    """Some random images, to compare their bytes with the hashes that were kept."""
    return random.SystemRandom().sample(range(len(part)), min(SAMPLE, len(part)))
