"""List and check a class-per-folder image tree. Torch-free."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from ofa_bench.data.discovery.datasets import DatasetSpec
from ofa_bench.data.discovery.decoder import SUFFIXES, Decoder, decoder, kind_of, reading
from ofa_bench.data.discovery.file_hashes import Progress
from ofa_bench.data.discovery.file_names import FileNames
from ofa_bench.data.discovery.imagenet.flat_part import flat_labels, is_flat
from ofa_bench.data.discovery.layout import SEALED, sealed_part
from ofa_bench.data.discovery.packed.class_tars import class_tars
from ofa_bench.data.discovery.unsupported import unread_layouts
from ofa_bench.errors import DataError


@dataclass(frozen=True, eq=False)
class Listing:
    """The image files of one part of a tree, by class and name; paths are relative to the root.

    `labels`: int64 [n]. `unread` counts the other files below the class folders, by suffix.
    """

    files: FileNames
    labels: NDArray[np.int64]
    unread: tuple[tuple[str, int], ...] = ()

    @classmethod
    def of(
        cls, files: Iterable[str], labels: Iterable[int], unread: Mapping[str, int] | None = None
    ) -> Listing:
        """The listing of file names and their labels."""
        values = np.fromiter(labels, dtype=np.int64)
        return cls(FileNames.of(files), values, tuple(sorted((unread or {}).items())))

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class ImageTree:
    """Both parts of a tree, its class names in label order, and notes for the record.

    `decoder`: the decoder that the files are, or were, decoded with; None if unknown.
    """

    root: Path
    classes: tuple[str, ...]
    train: Listing
    test: Listing
    notes: tuple[str, ...]
    decoder: Decoder | None = None

    @cached_property
    def files(self) -> FileNames:
        """The files of both parts, training images first."""
        return FileNames.joined([self.train.files, self.test.files])


def list_tree(root: Path, spec: DatasetSpec, progress: Progress | None = None) -> ImageTree:
    """List a tree; `progress` is called by folder. Raises DataError if classes differ, folders are
    empty, or counts are uneven."""
    tested = sealed_part(root) or "test"
    classes = _class_folders(root, "train", spec)
    _check_classes(root, tested, classes, spec)
    if spec.classes is not None and len(classes) != spec.classes:
        raise DataError(
            f"{root / 'train'} has {len(classes)} class folders, {spec.name} has {spec.classes}: "
            "it is another data set, or half-extracted",
            f"wanted: {spec.wanted}; for your own images use --dataset folder",
        )
    train = _listing(root, "train", classes, progress)
    test, notes = list_sealed(root, tested, classes, spec, progress)
    if spec.balanced:
        _refuse_uneven(root / "train", spec, classes, train)
        _refuse_uneven(root / tested, spec, classes, test)
    tree = _in_one_block(ImageTree(root, classes, train, test, notes, decoder()))
    return replace(tree, notes=_notes_on_images(tree, spec) + notes)


def list_sealed(
    root: Path,
    tested: str,
    classes: tuple[str, ...],
    spec: DatasetSpec,
    progress: Progress | None = None,
) -> tuple[Listing, tuple[str, ...]]:
    """The test images and notes on the folders. Raises DataError if their classes are others."""
    _check_classes(root, tested, classes, spec)
    flat = _unsorted(root, tested)
    notes = _notes_on_folders(root, tested, flat)
    if not flat:
        return _listing(root, tested, classes, progress), notes
    test, labels = _flat_listing(root, tested, classes)
    return test, (*notes, f"the labels of {tested}/ are those of {labels.name}")


def _unsorted(root: Path, tested: str) -> bool:
    return tested != "test" and is_flat(root / tested)


def _check_classes(root: Path, tested: str, classes: tuple[str, ...], spec: DatasetSpec) -> None:
    held = classes if _unsorted(root, tested) else _class_folders(root, tested, spec)
    if classes != held:
        _refuse_unequal(root, tested, classes, held)


def _in_one_block(tree: ImageTree) -> ImageTree:
    """The tree with the file names of both parts as cuts of the same block."""
    border = len(tree.train)
    files = FileNames.joined([tree.train.files, tree.test.files])
    train, test = (
        replace(tree.train, files=files[:border]),
        replace(tree.test, files=files[border:]),
    )
    return replace(tree, train=train, test=test)


def _class_folders(root: Path, split: str, spec: DatasetSpec) -> tuple[str, ...]:
    entries = _entries(root / split)
    classes = sorted(entry.name for entry in entries if entry.is_dir())
    if len(classes) == 1:
        raise DataError(
            f"{root / split} has one class folder, {classes[0]}: a classifier tells two or more "
            "classes apart",
            f"wanted: {spec.wanted}",
        )
    if not classes:
        loose = sum(Path(entry.name).suffix.lower() in SUFFIXES for entry in entries)
        content = f"{loose} images but no class folders" if loose else "no class folders"
        near = "".join(f"; {remark}" for remark in unread_layouts(root))
        raise DataError(f"{root / split} has {content}{near}", f"wanted: {spec.wanted}")
    return tuple(classes)


def _listing(
    root: Path, split: str, classes: tuple[str, ...], progress: Progress | None
) -> Listing:
    unread: Counter[str] = Counter()
    per_class = []
    for number, name in enumerate(classes, start=1):
        per_class.append(FileNames.of(sorted(_images_below(root, f"{split}/{name}", unread))))
        if progress:
            progress(f"listing the folders of {split}/", number, len(classes))
    empty = [name for name, files in zip(classes, per_class, strict=True) if not files]
    if empty:
        more = f" (and {len(empty) - 1} more)" if len(empty) > 1 else ""
        others = f"; in {split}/ are not read: {_counted(unread)}" if unread else ""
        raise DataError(
            f"the class folder {root / split / empty[0]}{more} has no images in it{others}",
            "fill or remove it, in train/ and in val/ or test/ alike; files are read that end in "
            + ", ".join(sorted(SUFFIXES)),
        )
    labels = np.repeat(np.arange(len(classes)), [len(files) for files in per_class])
    return Listing(FileNames.joined(per_class), labels, tuple(sorted(unread.items())))


def _flat_listing(root: Path, split: str, classes: tuple[str, ...]) -> tuple[Listing, Path]:
    """The images of a part without class folders, by class and name, and the list of labels."""
    unread: Counter[str] = Counter()
    names = sorted(_images_below(root, split, unread))
    labels, path = flat_labels(root, split, names, classes)
    rows = sorted(zip(labels, names, strict=True))
    files, ordered = (name for _, name in rows), (label for label, _ in rows)
    return Listing.of(files, ordered, unread), path


def _images_below(root: Path, folder: str, unread: Counter[str]) -> list[str]:
    images: list[str] = []
    for entry in _entries(root / folder):  # of which there may be a million: no path objects
        name = entry.name
        if entry.is_dir():
            images += _images_below(root, f"{folder}/{name}", unread)
        elif name[name.rfind(".") :].lower() in SUFFIXES:
            images.append(f"{folder}/{name}")
        else:
            unread[Path(name).suffix.lower() or "no suffix"] += 1
    return images


def _counted(unread: Mapping[str, int]) -> str:
    """`12 .heic, 1 .txt`: the most frequent first."""
    ranked = sorted(unread.items(), key=lambda item: (-item[1], item[0]))
    more = f" and {len(ranked) - 5} other suffixes" if len(ranked) > 5 else ""
    return ", ".join(f"{count:,} {suffix}" for suffix, count in ranked[:5]) + more


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, hidden files and folders apart."""
    hint = "check its permissions, and that a link in it leads somewhere"
    with reading(f"the folder {folder}", hint):
        with os.scandir(folder) as entries:
            listed = [entry for entry in entries if not entry.name.startswith(".")]
        try:
            odd = [entry for entry in listed if not (entry.is_file() or entry.is_dir())]
        except OSError:  # a link that leads back to itself
            odd = [entry for entry in listed if not _usable(entry)]
    if odd:
        _refuse_entry(folder, odd[0])
    return listed


def _usable(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file() or entry.is_dir()
    except OSError:
        return False


def _refuse_entry(folder: Path, entry: os.DirEntry[str]) -> NoReturn:
    """Refuse an entry, since skipping it silently would shift the labels of later classes."""
    path = folder / entry.name
    try:
        kind = kind_of(path.stat().st_mode)
    except OSError:
        kind = f"a link to {Path(entry.path).readlink()}, which cannot be followed"
    raise DataError(
        f"{path} is {kind}: neither a folder nor a file",
        "repair or remove it; no file is skipped silently",
    )


def _refuse_unequal(
    root: Path, tested: str, classes: tuple[str, ...], held: tuple[str, ...]
) -> NoReturn:
    name = min(set(classes) ^ set(held))
    here, there = ("train", tested) if name in classes else (tested, "train")
    raise DataError(
        f"{root} has the class {name} in {here}/ but not in {there}/ "
        f"({len(classes)} classes in train/, {len(held)} in {tested}/)",
        "both need the same class folders; a half-extracted set is to be extracted again",
    )


def _refuse_uneven(
    folder: Path, spec: DatasetSpec, classes: tuple[str, ...], listing: Listing
) -> None:
    counts = np.bincount(listing.labels, minlength=len(classes))
    label, fewest = int(counts.argmin()), int(counts.min())
    if fewest != (most := int(counts.max())):
        raise DataError(
            f"{folder / classes[label]} has {fewest} images where other classes have {most}: "
            f"{spec.name} has equally many of each, so this set is half-extracted",
            "extract it again; for a set of your own use --dataset folder",
        )


def _notes_on_images(tree: ImageTree, spec: DatasetSpec) -> tuple[str, ...]:
    train, test, notes = tree.train, tree.test, []
    if spec.usual_classes and tree.classes != spec.usual_classes:
        unusual = len(set(tree.classes) - set(spec.usual_classes))
        notes.append(
            f"not the usual class list of {spec.name}: {unusual} of its classes are others"
        )
    counts = (len(train), len(test))
    if spec.train_total and spec.test and counts != (spec.train_total, spec.test):
        notes.append(
            f"{counts[0]} training and {counts[1]} test images, where the usual {spec.name} has "
            f"{spec.train_total} and {spec.test}"
        )
    unread = Counter(dict(train.unread)) + Counter(dict(test.unread))
    if unread:
        notes.append(f"files that are not read, by suffix: {_counted(unread)}")
    return tuple(notes)


def _notes_on_folders(root: Path, tested: str, flat: bool) -> tuple[str, ...]:
    notes = []
    parts = ("train",) if flat else ("train", tested)
    in_folders = [part for part in parts if not class_tars(root / part)]
    loose = sum(entry.is_file() for part in in_folders for entry in _entries(root / part))
    if loose:
        notes.append(f"files beside the class folders, in no class: {loose:,}")
    others = [part for part in SEALED if part != tested and (root / part).is_dir()]
    if tested == "test" and others:
        left = " and ".join(f"{part}/" for part in others)
        notes.append(f"test/ was used for the sealed test; {left} was left alone")
    elif "test" in others:
        notes.append(
            f"{tested}/ was used for the sealed test: test/ has none of the class folders of train/"
        )
    elif others:
        notes.append(f"{tested}/ was used for the sealed test; {others[0]}/ was left alone")
    return tuple(notes)
