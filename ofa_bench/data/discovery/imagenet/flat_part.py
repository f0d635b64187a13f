"""Images that lie in one folder instead of a folder a class. Torch-free."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from ofa_bench.data.discovery.decoder import SUFFIXES
from ofa_bench.data.discovery.imagenet.label_lists import (
    ACCEPTED,
    ANNOTATIONS,
    LabelList,
    labels_near,
)
from ofa_bench.errors import DataError
from ofa_bench.sanitize import plain_text

NUMBERED = re.compile(r"_(\d{8})$")  # ILSVRC2012_val_00000001
DIGITS = re.compile(r"[0-9]+")


def is_flat(folder: Path) -> bool:
    """Whether a folder has images and no folders, or is laid out as Tiny-ImageNet's val/."""
    names: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    (folders if entry.is_dir() else names).append(entry.name)
    except OSError:
        return False
    if folders:
        return folders == ["images"] and ANNOTATIONS in names
    return any(_suffix(name) in SUFFIXES for name in names)


def flat_labels(
    root: Path, part: str, files: Sequence[str], classes: Sequence[str]
) -> tuple[list[int], Path]:
    """The labels of the images of a flat part, as positions in `classes`, and the list with them.

    `files`: paths below `root`, sorted by name. Raises DataError if there is no list, or it does
    not fit the images and the classes.
    """
    known = labels_near(root, part)
    if known is None:
        raise DataError(
            f"{root / part} has {len(files):,} images but no class folders, and no list of their "
            "labels is there",
            f"put one of these into {root}: {ACCEPTED}; or sort the images into class folders",
        )
    position = {name: label for label, name in enumerate(classes)}
    labels = []
    for file, name in zip(files, listed_classes(known, root, files), strict=True):
        if name not in position:
            raise DataError(
                f"{known.path} gives {file} the class {plain_text(name, 80)!r}, which is none of "
                f"the {len(classes):,} class folders of {root / 'train'}",
                "train/ and the list must be of the same data set, and train/ complete",
            )
        labels.append(position[name])
    if absent := set(position.values()) - set(labels):
        raise DataError(
            f"{known.path} names no image of the class {classes[min(absent)]}, which "
            f"{root / 'train'} has" + (f" (and {len(absent) - 1} more)" if len(absent) > 1 else ""),
            "train/ and the list must be of the same data set",
        )
    return labels, known.path


def listed_classes(known: LabelList, root: Path, files: Sequence[str]) -> Iterator[str]:
    """The class of each image. Raises DataError if list and images are not of equal length, or an
    image has no label, or the list has no names and the images no rising numbers."""
    if len(files) != len(known):
        raise DataError(
            f"{known.path} has {len(known):,} labels, and there are {len(files):,} images in "
            f"{(root / files[0]).parent if files else root}",
            "both must be whole: extract the images again, or get the list again",
        )
    if not known.by_name:
        _check_order(known.path, root, files)
    for index, file in enumerate(files):
        path = PurePosixPath(file)
        if known.by_name:
            name = path.name if path.name in known.by_name else path.stem
            if name not in known.by_name:
                raise DataError(f"{known.path} has no label for {file}", "get the list again")
            yield known.by_name[name]
            continue
        number = NUMBERED.search(path.stem)
        if number and int(number[1]) != index + 1:
            raise DataError(
                f"{root / file} is image {index + 1:,} of its folder but has another number: one "
                "is missing, or one too many is there",
                "extract the images again",
            )
        yield known.in_order[index]


def _check_order(path: Path, root: Path, files: Sequence[str]) -> None:
    """Raise DataError unless the last numbers in the images' names rise from name to name."""
    hint = "number the images with leading zeros (0001.png), or use a list that names them"
    before = -1
    for position, file in enumerate(files):
        digits = DIGITS.findall(PurePosixPath(file).stem)
        if not digits:
            raise DataError(
                f"{path} lists labels in the order of the images, and the name of {root / file} "
                "has no number that says which it is",
                hint,
            )
        if int(digits[-1]) <= before:
            raise DataError(
                f"{path} lists labels in the order of the images, but sorted by name "
                f"{root / file} comes after {PurePosixPath(files[position - 1]).name}: the names "
                "are not in the order of their numbers",
                hint,
            )
        before = int(digits[-1])


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()
