"""Read the headers of a tar shard in the WebDataset layout: KEY.jpg and KEY.cls. Torch-free.

A shard is read once from its first to its last byte; later, an image is read from its offset.
Names of members are never used as paths.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from ofa_bench.data.discovery.decoder import SUFFIXES
from ofa_bench.data.discovery.inflate import Unpacked
from ofa_bench.data.discovery.packed.parts import LABEL, compressed
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

LONGEST_LABEL = 20  # bytes of a KEY.cls
LONGEST_NUMBER = 9  # digits in it
REPACK = "pack the shard anew; `ofa-bench data prepare DATASET --pack` writes such shards"


class _Named(NamedTuple):
    key: str
    field: str
    name: str


def shard_samples(path: Path, proceed: Proceed = proceeding) -> Samples:
    """The images of a shard with their labels, in its order.

    Raises DataError if the shard is damaged, truncated, compressed or refused, if a key comes
    twice, or an image and a label do not come in pairs.
    """
    if compressed(path):
        raise DataError(f"{path} is compressed: an image in it has no address", "decompress it")
    images: dict[str, PackedImage] = {}
    labels: dict[str, int] = {}
    for member, content, offset in _members(path):
        proceed()
        target = images if f".{member.field}" in SUFFIXES else labels
        if member.key in target:
            raise DataError(f"{path}: the key {member.key!a} comes twice", REPACK)
        if target is labels:
            labels[member.key] = _label(path, member.name, content)
        else:
            name = member.name.encode("utf-8", "surrogateescape")
            span = offset, len(content)
            images[member.key] = measured(name, span, (0, 0), -1, content)
    _check_pairs(path, images, labels)
    return samples_of([sample._replace(label=labels[key]) for key, sample in images.items()])


def _members(path: Path) -> Iterator[tuple[_Named, bytes, int]]:
    """The images and labels of a shard, with their bytes and where those begin."""
    try:
        with closing(Unpacked(path)) as source:
            tar = Tar(source)
            for member in tar.members():
                named = _named(member)
                if named is None:
                    continue
                _check_size(path, named, member.size)
                offset = source.position
                yield named, b"".join(tar.content()), offset
    except DAMAGE as error:
        raise DataError(
            f"{path} cannot be read: it is damaged or cut short ({error})", "fetch the shard again"
        ) from error


def _named(member: TarMember) -> _Named | None:
    """Key and field of a member, where it is an image or a label; the key ends at the first dot of
    the last part, as WebDataset has it."""
    if member.folder:
        return None
    stem, _, field = member.parts[-1].partition(".")
    field = field.lower()
    if not stem or (field != LABEL and f".{field}" not in SUFFIXES):
        return None
    return _Named("/".join((*member.parts[:-1], stem)), field, "/".join(member.parts))


def _check_size(path: Path, named: _Named, size: int) -> None:
    if named.field == LABEL and size > LONGEST_LABEL:
        raise DataError(
            f"{path}: the label {named.name!a} takes {size:,} bytes",
            "a label is the number of a class, from 0",
        )
    if size > limit("image-bytes"):
        raise DataError(
            f"{path}: {named.name!a} is too large: {size:,} bytes, the limit is "
            f"{limit('image-bytes'):,} for one image",
            advice("image-bytes", size),
        )


def _label(path: Path, name: str, content: bytes) -> int:
    text = content.strip()
    if not text.isdigit() or len(text) > LONGEST_NUMBER:
        raise DataError(
            f"{path}: the label {name!a} is {text!a}, not the number of a class", REPACK
        )
    return int(text)


def _check_pairs(path: Path, images: dict[str, PackedImage], labels: dict[str, int]) -> None:
    alone = min(images.keys() ^ labels.keys(), default=None)
    if alone is not None:
        has, lacks = ("an image", "label") if alone in images else ("a label", "image")
        raise DataError(f"{path}: the key {alone!a} has {has} but no {lacks}", REPACK)
    if not images:
        raise DataError(f"{path} has no images with labels in it", REPACK)
