"""An archive a class, as ImageNet's training archive unpacks to: train/n01440764.tar. Torch-free.

An archive is read once from its first to its last byte; later, an image is read from its offset.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

from ofa_bench.data.discovery.archives import SUFFIXES as ARCHIVES
from ofa_bench.data.discovery.decoder import SUFFIXES
from ofa_bench.data.discovery.inflate import Unpacked
from ofa_bench.data.discovery.packed.parts import compressed
from ofa_bench.data.discovery.packed.samples import (
    PackedImage,
    Proceed,
    Samples,
    measured,
    proceeding,
    samples_of,
)
from ofa_bench.data.discovery.tar import DAMAGE, Tar, TarMember
from ofa_bench.errors import DataError
from ofa_bench.limits import advice, limit

ENDING = ".tar"
AGAIN = "fetch the archive again"


def class_tars(folder: Path) -> tuple[Path, ...]:
    """The archives of classes in a folder, sorted by name; none if it has class folders.

    Raises DataError if archives of another kind are among them, whose classes would be left out.
    """
    try:
        with os.scandir(folder) as entries:
            shown = [entry for entry in entries if not entry.name.startswith(".")]
            if any(entry.is_dir() for entry in shown):
                return ()
            held = sorted(entry.name for entry in shown if entry.name.endswith(ARCHIVES))
    except OSError:
        return ()
    names = [name for name in held if name.endswith(ENDING)]
    if names and len(names) < len(held):
        other = next(name for name in held if not name.endswith(ENDING))
        raise DataError(
            f"{folder} has {names[0]} and {other}: of an archive a class, all must end in {ENDING}",
            "unpack the compression alone, as by `gunzip FILE`, or move the file elsewhere",
        )
    return tuple(folder / name for name in names)


def class_of(path: Path) -> str:
    """The class that an archive is of: its name."""
    return path.name.removesuffix(ENDING)


def class_samples(path: Path, proceed: Proceed = proceeding) -> Samples:
    """The images of an archive, sorted by name; the labels are 0.

    Raises DataError if it is damaged, truncated, compressed or refused, a name comes twice, it has
    several folders, which would be classes of their own, or a file beside an image has its key, as
    in a shard, whose images are of many classes.
    """
    if compressed(path):
        raise DataError(
            f"{path} is compressed: an image in it has no address",
            "unpack the compression alone, as by `gunzip FILE`; JPEG files do not get smaller",
        )
    images: dict[str, PackedImage] = {}
    folders = set()
    beside: dict[str, str] = {}
    for member, content, offset in _members(path, beside):
        proceed()
        name = "/".join(member.parts)
        if name in images:
            raise DataError(f"{path}: {name!a} comes twice", "pack the archive anew")
        folders.add(member.parts[:-1])
        span = offset, len(content)
        raw = name.encode("utf-8", "surrogateescape")
        images[name] = measured(raw, span, (0, 0), 0, content)
    if len(folders) > 1:
        raise DataError(
            f"{path} has {len(folders):,} folders of images in it: it is no archive of one class",
            "put archives of class folders beside train/, not into it",
        )
    _check_no_shard(path, images, beside)
    if not images:
        raise DataError(f"{path} has no images in it", AGAIN)
    return samples_of([images[name] for name in sorted(images)])


def _check_no_shard(path: Path, images: Iterable[str], beside: Mapping[str, str]) -> None:
    """Raise DataError if an image has the key of another file."""
    for name in images:
        if other := beside.get(_key(name)):
            raise DataError(
                f"{path} has {name!a} and {other!a}: this is a shard whose labels are not KEY.cls, "
                "no archive of one class",
                "write the number of the class into a KEY.cls beside each image, or sort the "
                "images into class folders",
            )


def _key(name: str) -> str:
    """What a sample's files share: the name up to the first dot of its last part."""
    above, slash, last = name.rpartition("/")
    return above + slash + last.partition(".")[0]


def _members(path: Path, beside: dict[str, str]) -> Iterator[tuple[TarMember, bytes, int]]:
    """The images of an archive, with their bytes and where those begin. `beside` takes the names of
    other files, by key."""
    try:
        with closing(Unpacked(path)) as source:
            tar = Tar(source)
            for member in tar.members():
                if member.folder:
                    continue
                if Path(member.parts[-1]).suffix.lower() not in SUFFIXES:
                    if not member.parts[-1].startswith("."):
                        name = "/".join(member.parts)
                        beside.setdefault(_key(name), name)
                    continue
                if member.size > limit("image-bytes"):
                    raise DataError(
                        f"{path}: {'/'.join(member.parts)!a} is too large: {member.size:,} bytes",
                        advice("image-bytes", member.size),
                    )
                offset = source.position
                yield member, b"".join(tar.content()), offset
    except DAMAGE as error:
        raise DataError(
            f"{path} cannot be read: it is damaged or cut short ({error})", AGAIN
        ) from error
