"""An archive a class, as ImageNet's training archive unpacks to: train/n01440764.tar. Torch-free.

An archive is read once from its first to its last byte; later, an image is read from its offset.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

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
    """The archives of classes in a folder, sorted by name; none if it has class folders."""
    try:
        with os.scandir(folder) as entries:
            shown = [entry for entry in entries if not entry.name.startswith(".")]
            if any(entry.is_dir() for entry in shown):
                return ()
            names = sorted(entry.name for entry in shown if entry.name.endswith(ENDING))
    except OSError:
        return ()
    return tuple(folder / name for name in names)


def class_of(path: Path) -> str:
    """The class that an archive is of: its name."""
    return path.name.removesuffix(ENDING)


def class_samples(path: Path, proceed: Proceed = proceeding) -> Samples:
    """The images of an archive, sorted by name; the labels are 0.

    Raises DataError if it is damaged, truncated, compressed or refused, a name comes twice, or it
    has several folders, which would be classes of their own.
    """
    if compressed(path):
        raise DataError(
            f"{path} is compressed: an image in it has no address",
            "unpack the compression alone, as by `gunzip FILE`; JPEG files do not get smaller",
        )
    images: dict[str, PackedImage] = {}
    folders = set()
    for member, content, offset in _members(path):
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
    if not images:
        raise DataError(f"{path} has no images in it", AGAIN)
    return samples_of([images[name] for name in sorted(images)])


def _members(path: Path) -> Iterator[tuple[TarMember, bytes, int]]:
    """The images of an archive, with their bytes and where those begin."""
    try:
        with closing(Unpacked(path)) as source:
            tar = Tar(source)
            for member in tar.members():
                if member.folder or Path(member.parts[-1]).suffix.lower() not in SUFFIXES:
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
