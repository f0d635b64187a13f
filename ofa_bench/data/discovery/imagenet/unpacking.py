"""`data prepare imagenet`: ImageNet's archives as a class-per-folder tree. Torch-free.

The archive of archives with the training images is read once, and classes are written as they
come: nothing is on the disk twice. A class folder appears whole or not at all, so that another
call goes on after the last one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ofa_bench.atomic_io import new_folder, open_regular, write_whole
from ofa_bench.data.discovery.archives import UnpackedFolder, whole_items
from ofa_bench.data.discovery.decoder import SUFFIXES
from ofa_bench.data.discovery.imagenet.flat_part import listed_classes
from ofa_bench.data.discovery.imagenet.label_lists import ACCEPTED, labels_near
from ofa_bench.data.discovery.imagenet.nested_tars import MemberBytes, PlainFile, SeekableTar
from ofa_bench.data.discovery.tar import Tar, TarMember
from ofa_bench.errors import BenchError, DataError
from ofa_bench.locks import exclusive_folder

TRAIN, VAL = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
UNFINISHED = ".unpacking-"
MARK = ".ofa-bench-prepare.json"  # in a folder that this command began
LONGEST_MARK = 1 << 16
AGAIN = "fetch the archive again"
Progress = Callable[[str, int, int], None]
"""Called with what is unpacked, the bytes done, and those of all."""


@dataclass(frozen=True)
class UnpackedTree:
    """The resulting folder, its classes and images, and the bytes that were written."""

    root: str
    classes: int
    images: dict[str, int]
    bytes: int


@dataclass(frozen=True)
class _Archives:
    """The two archives: classes of the one with their bytes, and images of the other with their
    bytes and their class."""

    train: Path
    val: Path
    classes: Mapping[str, int]
    images: Mapping[str, tuple[int, str]]

    def missing(self, to: Path) -> dict[str, int]:
        """What is to be unpacked, `train/CLASS` and `val`, with its bytes."""
        parts = {f"train/{name}": size for name, size in self.classes.items()}
        parts["val"] = sum(size for size, _ in self.images.values())
        return {name: size for name, size in parts.items() if not (to / name).is_dir()}


def prepare_imagenet(
    source: Path,
    to: Path,
    agree: Callable[[int], bool],
    progress: Progress | None = None,
) -> UnpackedTree:
    """Unpack ImageNet's archives below `to`, which may be a folder that this command began.

    `source` has the archives of training and of validation images, and the devkit or another list
    of labels. `agree` is called with the bytes to be written, before any is. Raises DataError
    if an archive is missing, damaged or another one, or `to` has something else in it; BenchError
    if `agree` refuses or there is no room.
    """
    archives = _archives(source)
    _check_target(to, archives)
    missing = archives.missing(to)
    needed = sum(missing.values())
    _check_room(to, needed)
    if missing and not agree(needed):
        raise BenchError("nothing was written", "--yes writes without asking")
    with _in_sentences(to):
        to.mkdir(parents=True, exist_ok=True)
        with exclusive_folder(to):
            missing = archives.missing(to)  # what another call has not unpacked meanwhile
            write_whole(to / MARK, json.dumps(_mark(archives)) + "\n")
            _clear(to)
            (to / "train").mkdir(exist_ok=True)
            _write_train(archives, to, missing, progress)
            if "val" in missing:
                _write_val(archives, to, missing, progress)
    images = {part: sum(1 for _ in (to / part).glob("*/*")) for part in ("train", "val")}
    return UnpackedTree(str(to), len(archives.classes), images, needed)


def _archives(source: Path) -> _Archives:
    for name in (TRAIN, VAL):
        if not (source / name).is_file():
            raise DataError(
                f"{source} has no {name}",
                f"--from wants the folder with {TRAIN}, {VAL} and the development kit, as "
                "image-net.org has them",
            )
    classes = _classes(source / TRAIN)
    sizes = {m.parts[-1]: m.size for m in _headers(source / VAL) if _is_image(m)}
    known = labels_near(source, "val")
    if known is None:
        raise DataError(
            f"{source} has no list of the labels of the validation images",
            f"put one of these there: {ACCEPTED}",
        )
    files = sorted(sizes)
    images = dict(zip(files, listed_classes(known, source / VAL, files), strict=True))
    for file, name in images.items():
        if name not in classes:
            raise DataError(
                f"{known.path} gives {file} a class of which {TRAIN} has no images", AGAIN
            )
    return _Archives(
        source / TRAIN,
        source / VAL,
        classes,
        {file: (sizes[file], name) for file, name in images.items()},
    )


def _classes(train: Path) -> dict[str, int]:
    """The classes in the archive of archives, with their bytes."""
    classes: dict[str, int] = {}
    for member in _headers(train):
        if member.folder:
            continue
        name = _class_name(train, member)
        if name in classes:
            raise DataError(f"{train}: {name}.tar comes twice", AGAIN)
        classes[name] = member.size
    if len(classes) < 2:
        raise DataError(f"{train} holds {len(classes)} archives of classes", AGAIN)
    return classes


def _class_name(train: Path, member: TarMember) -> str:
    name = member.parts[-1].removesuffix(".tar")
    if name == member.parts[-1] or not name.isalnum() or not name.isascii():
        raise DataError(
            f"{train} has the member {member.parts[-1]!a}, which is no archive of a class",
            f"{TRAIN} holds an archive a class, as n01440764.tar; get that one",
        )
    return name


def _is_image(member: TarMember) -> bool:
    return not member.folder and Path(member.parts[-1]).suffix.lower() in SUFFIXES


def _headers(path: Path) -> Iterator[TarMember]:
    """The members of an archive without their content. Raises DataError if it is cut short."""
    with closing(PlainFile(path)) as source:
        tar = SeekableTar(source)
        for member in whole_items(path, tar.members()):
            yield member
            tar.leave_out()


def _mark(archives: _Archives) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in (archives.train, archives.val)}


def _check_target(to: Path, archives: _Archives) -> None:
    """Raise DataError if the folder has something that this command did not begin."""
    if not to.exists() or (to.is_dir() and not any(to.iterdir())):
        return
    try:
        with open_regular(to / MARK) as file:
            kept = json.loads(file.read(LONGEST_MARK))
    except (OSError, ValueError, RecursionError):
        kept = None
    if kept != _mark(archives):
        raise DataError(
            f"{to} is not empty, and was not begun from these archives",
            "give --to a new or empty folder",
        )


def _check_room(to: Path, needed: int) -> None:
    above = next(folder for folder in (to.absolute(), *to.absolute().parents) if folder.exists())
    free = shutil.disk_usage(above).free
    if needed > free:
        raise BenchError(
            f"{needed / 1e9:,.1f} GB do not fit below {above}: {free / 1e9:,.1f} GB are free",
            "give --to a folder on a larger disk",
        )


def _clear(to: Path) -> None:
    """Remove what a killed call left unfinished."""
    for folder in (to, to / "train"):
        for leftover in folder.glob(f"{UNFINISHED}*"):
            shutil.rmtree(leftover, ignore_errors=True)


def _write_train(
    archives: _Archives, to: Path, missing: Mapping[str, int], progress: Progress | None
) -> None:
    done, total = 0, sum(missing.values())
    with closing(PlainFile(archives.train)) as source:
        tar = SeekableTar(source)
        for member in whole_items(archives.train, tar.members()):
            name = "" if member.folder else _class_name(archives.train, member)
            if f"train/{name}" not in missing:
                tar.leave_out()
                continue
            inner = MemberBytes(archives.train / f"{name}.tar", tar.content())
            with new_folder(to / "train" / name, UNFINISHED) as folder:
                _write_class(inner, folder)
            done += member.size
            if progress:
                progress(name, done, total)


def _write_class(source: MemberBytes, folder: Path) -> None:
    tar, target = Tar(source), UnpackedFolder(folder)
    for member in whole_items(source.path, tar.members()):
        target.take(source.path, member, whole_items(source.path, tar.content()))
    if not any(folder.iterdir()):
        raise DataError(f"{source.path} is empty", AGAIN)


def _write_val(
    archives: _Archives, to: Path, missing: Mapping[str, int], progress: Progress | None
) -> None:
    total = sum(missing.values())
    done = total - missing["val"]
    with closing(PlainFile(archives.val)) as source, new_folder(to / "val", UNFINISHED) as folder:
        tar, target = SeekableTar(source), UnpackedFolder(folder)
        for member in whole_items(archives.val, tar.members()):
            if not _is_image(member):
                continue
            size, label = archives.images[member.parts[-1]]
            placed = member._replace(parts=(label, member.parts[-1]))
            target.take(archives.val, placed, whole_items(archives.val, tar.content()))
            done += size
            if progress:
                progress("val", done, total)


@contextmanager
def _in_sentences(to: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BenchError(
            f"cannot unpack into {to}: {error.strerror or error}",
            "free some space, or give --to a folder that you may write to; the same line goes on",
        ) from error
