"""Lists of the labels of images that lie in one folder. Torch-free.

`FORMS` are the lists that are read: Kaggle's, ImageNet's devkit, one name a line in the order of
the images, Caffe's, and Tiny-ImageNet's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ofa_bench.atomic_io import open_regular
from ofa_bench.data.discovery.imagenet.matlab import class_names
from ofa_bench.data.discovery.inflate import Unpacked
from ofa_bench.data.discovery.tar import DAMAGE, Tar
from ofa_bench.errors import DataError
from ofa_bench.limits import advice, limit
from ofa_bench.sanitize import plain_text

DEVKIT = "ILSVRC2012_devkit_t12"
DEVKIT_ARCHIVES = (f"{DEVKIT}.tar.gz", f"{DEVKIT}.tgz", f"{DEVKIT}.tar")
TRUTH, META, MAP = "ILSVRC2012_validation_ground_truth.txt", "meta.mat", "map_clsloc.txt"
ANNOTATIONS = "val_annotations.txt"
SYNSETS = ("synsets.txt", "synset_words.txt", "LOC_synset_mapping.txt")
KAGGLE = ("CLS-LOC", "Data", "ILSVRC")  # folders above the images, innermost first
ACCEPTED = (
    f"{DEVKIT}/ (or its archive), LOC_val_solution.csv, "
    "imagenet_2012_validation_synset_labels.txt, or val.txt with a name and a class a line"
)
AGAIN = "get the list of labels again"


@dataclass(frozen=True)
class LabelList:
    """The classes of images in a file: by their names, with or without a suffix, or in order."""

    path: Path
    by_name: Mapping[str, str]
    in_order: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.by_name) or len(self.in_order)


def labels_near(root: Path, part: str) -> LabelList | None:
    """The list of the labels of `root`/`part`, from there, beside it, or above it as Kaggle has it.

    None if there is none; DataError if it is not readable, or lacks what its numbers mean.
    """
    for folder in _folders(root, part):
        for name, read in FORMS.items():
            if (folder / name).is_file() and (name != ANNOTATIONS or folder.name == part):
                return read(folder / name)
    return None


def labels_of_devkit(archive: Path) -> LabelList:
    """The labels in the devkit's archive. Raises DataError if they are not in it."""
    wanted = {TRUTH: b"", META: b"", MAP: b""}
    try:
        with closing(Unpacked(archive)) as source:
            tar = Tar(source)
            for member in tar.members():
                if not member.folder and member.parts[-1] in wanted:
                    _check_size(archive, member.size)
                    wanted[member.parts[-1]] = b"".join(bytes(part) for part in tar.content())
    except DAMAGE as error:
        raise DataError(f"{archive} is damaged or cut short ({error})", AGAIN) from error
    return _of_devkit(archive, wanted)


def _folders(root: Path, part: str) -> Iterator[Path]:
    yield root / part
    yield root
    above = root.resolve()
    for name in KAGGLE:
        if above.name != name:
            return
        above = above.parent
        yield above


def _devkit(path: Path) -> LabelList:
    beside = {name: path.with_name(name) for name in (TRUTH, META, MAP)}
    return _of_devkit(path, {n: _bytes(p) if p.is_file() else b"" for n, p in beside.items()})


def _of_devkit(path: Path, files: Mapping[str, bytes]) -> LabelList:
    """The devkit's list: a number an image, whose class its other files tell."""
    if not files[TRUTH]:
        raise DataError(f"{path} has no {TRUTH}", AGAIN)
    names: dict[str, str] = {}
    if files[META]:
        try:
            names = {str(number): name for number, name in class_names(files[META]).items()}
        except ValueError as error:
            raise DataError(
                f"{META} of {path} cannot be read: {error}",
                f"get the devkit again, or put its {MAP} in the place of {META}",
            ) from error
    elif files[MAP]:
        rows = [line.split() for line in _text(path, files[MAP]).splitlines()]
        names = {row[1]: row[0] for row in rows if len(row) > 1}
    else:
        raise DataError(
            f"{path} numbers the classes, and neither {META} nor {MAP} is beside it to say which "
            "they are",
            f"put {META} of the devkit, or {MAP}, beside it; or use LOC_val_solution.csv",
        )
    numbers = _text(path, files[TRUTH]).split()
    return LabelList(path, {}, [_class_of(path, number, names) for number in numbers])


def _class_of(path: Path, number: str, names: Mapping[str, str]) -> str:
    try:
        return names[number]
    except KeyError:
        raise DataError(
            f"{path} has the label {plain_text(number, 40)!r}, which is no class of its data set",
            AGAIN,
        ) from None


def _of_kaggle(path: Path) -> LabelList:
    """`ILSVRC2012_val_00000001,n01751748 111 108 230 366 …`: the class comes first."""
    rows = [line.split(",", 1) for line in _text(path, _bytes(path)).splitlines()[1:] if line]
    return LabelList(path, _by_name(path, [(row[0], row[-1].split(" ")[0]) for row in rows]))


def _of_names(path: Path) -> LabelList:
    return LabelList(path, {}, _text(path, _bytes(path)).split())


def _of_caffe(path: Path) -> LabelList:
    """`ILSVRC2012_val_00000001.JPEG 65`: a name, and a class or its line in a list of them."""
    rows = [line.rsplit(None, 1) for line in _text(path, _bytes(path)).splitlines() if line.strip()]
    if any(len(row) != 2 for row in rows):
        raise DataError(f"{path} has a line that is not a name and a class", AGAIN)
    if not all(row[1].isdecimal() for row in rows):
        return LabelList(path, _by_name(path, rows))
    beside = [path.with_name(name) for name in SYNSETS]
    synsets = next((other for other in beside if other.is_file()), None)
    if synsets is None:
        raise DataError(
            f"{path} numbers the classes, and none of {', '.join(SYNSETS)} is beside it to say "
            "which they are",
            "put one of them there, or write the class in the place of the number",
        )
    lines = filter(str.strip, _text(synsets, _bytes(synsets)).splitlines())
    names = {str(number): line.split()[0] for number, line in enumerate(lines)}
    return LabelList(
        path, _by_name(path, [(name, _class_of(path, number, names)) for name, number in rows])
    )


def _of_annotations(path: Path) -> LabelList:
    """Tiny-ImageNet's: name, class and a box, with tabs between them."""
    rows = [line.split("\t") for line in _text(path, _bytes(path)).splitlines() if line.strip()]
    if any(len(row) < 2 for row in rows):
        raise DataError(f"{path} has a line that is not a name and a class", AGAIN)
    return LabelList(path, _by_name(path, rows))


def _by_name(path: Path, rows: Sequence[Sequence[str]]) -> dict[str, str]:
    names: dict[str, str] = {}
    for name, label, *_ in rows:
        if names.setdefault(PurePosixPath(name).name, label) != label:
            raise DataError(f"{path} gives {plain_text(name, 80)!r} two labels", AGAIN)
    return names


def _bytes(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            _check_size(path, os.fstat(file.fileno()).st_size)
            return file.read(limit("label-list-bytes"))
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror or error}", "check its permissions"
        ) from error


def _check_size(path: Path, size: int) -> None:
    if size > limit("label-list-bytes"):
        raise DataError(
            f"{path}: {size:,} bytes are too many for a list of labels",
            advice("label-list-bytes", size),
        )


def _text(path: Path, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text", AGAIN) from error


FORMS: dict[str, Callable[[Path], LabelList]] = {
    "LOC_val_solution.csv": _of_kaggle,
    "imagenet_2012_validation_synset_labels.txt": _of_names,
    f"{DEVKIT}/data/{TRUTH}": _devkit,
    f"data/{TRUTH}": _devkit,
    TRUTH: _devkit,
    **dict.fromkeys(DEVKIT_ARCHIVES, labels_of_devkit),
    ANNOTATIONS: _of_annotations,
    "val.txt": _of_caffe,
}
