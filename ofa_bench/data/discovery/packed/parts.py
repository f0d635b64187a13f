"""Which files of a folder are tar shards or parquet files, and of which split. Torch-free."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ofa_bench.data.discovery.archives import PEEK, SUFFIXES
from ofa_bench.data.discovery.decoder import reading
from ofa_bench.data.discovery.inflate import DECODERS, Enough, Unpacked
from ofa_bench.data.discovery.tar import DAMAGE, Tar
from ofa_bench.errors import DataError

LABEL = "cls"
WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
WORD = re.compile(rf"(?:^|[^a-z0-9])({'|'.join(WORDS)})(?=[^a-z]|$)")
# a hash of the file may follow the numbers: train-00000-of-00002-0a1b2c3d.parquet
NUMBERED = re.compile(r"^(.*?)-?(\d{4,6})-of-(\d{4,6})(?:-[0-9a-f]+)?(\..*)$")
LAST_NUMBER = re.compile(r"^(.*?)(\d{1,9})(\.\D*)$")
PEEKED_FILES, PEEKED_MEMBERS = 4, 8
INNER = "data"  # the folder that the Hugging Face layout has its files in


@dataclass(frozen=True)
class PackedParts:
    """The big files of a data set, by split (train, val, test), sorted by name."""

    kind: Literal["shards", "parquet"]
    splits: dict[str, tuple[Path, ...]]


def packed_parts(folder: Path) -> PackedParts | None:
    """The shards or parquet files of a folder; None if it has none with training images.

    They are NAME-train-000000.tar and the like, in the folder or in its `data`, or any in a folder
    `train`, `val` or `test` of those. Parquet files beside class folders in `train` describe these
    images, and are no data set. Raises DataError for compressed shards, and if one of several
    numbered files is missing.
    """
    parquet = _by_split(folder, (".parquet",))
    if parquet.get("train") and not _has_folders(folder / "train"):
        return _whole(PackedParts("parquet", parquet))
    tars = _by_split(folder, SUFFIXES)
    if not any(is_shard(path) for path in tars.get("train", ())[:PEEKED_FILES]):
        return None
    for path in itertools.chain.from_iterable(tars.values()):
        if compressed(path):
            raise DataError(
                f"{path} is a compressed shard: an image in it has no address",
                "unpack the compression alone, as by `gunzip FILE`; JPEG files do not get smaller",
            )
    return _whole(PackedParts("shards", tars))


def is_shard(path: Path) -> bool:
    """Whether an archive has labels (KEY.cls) among its first members."""
    try:
        with closing(Unpacked(path, most=PEEK)) as source:
            members = itertools.islice(Tar(source).members(), PEEKED_MEMBERS)
            return any(m.parts and m.parts[-1].lower().endswith(f".{LABEL}") for m in members)
    except (DataError, Enough, *DAMAGE):
        return False


def compressed(path: Path) -> bool:
    """Whether a file begins as gzip, bzip2 and xz do."""
    with reading(path, "check its permissions"), open(path, "rb") as file:
        head = file.read(max(map(len, DECODERS)))
    return any(head.startswith(magic) for magic in DECODERS)


def _by_split(folder: Path, suffixes: tuple[str, ...]) -> dict[str, tuple[Path, ...]]:
    splits: defaultdict[str, list[Path]] = defaultdict(list)
    for base in (folder, folder / INNER):
        for path in _files(base, suffixes):
            words = WORD.findall(path.name.lower())
            if words:
                splits[WORDS[words[-1]]].append(path)
        for word, split in WORDS.items():
            splits[split] += _files(base / word, suffixes)
    return {split: tuple(sorted(paths)) for split, paths in splits.items() if paths}


def _files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    if not folder.is_dir():
        return []
    with reading(f"the folder {folder}", "check its permissions"):
        return [
            path
            for path in folder.iterdir()
            if path.name.endswith(suffixes) and not path.name.startswith(".") and path.is_file()
        ]


def _has_folders(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    with reading(f"the folder {folder}", "check its permissions"):
        return any(path.is_dir() and not path.name.startswith(".") for path in folder.iterdir())


def _whole(parts: PackedParts) -> PackedParts:
    """Raise DataError if one of the files NAME-00000-of-00005 is not there."""
    for paths in parts.splits.values():
        for (folder, before, of, after), numbers in _numbered(paths).items():
            absent = sorted(set(range(int(of))) - numbers) if int(of) <= len(paths) + 1000 else [0]
            if absent:
                name = f"{before}-{absent[0]:0{len(of)}d}-of-{of}{after}"
                raise DataError(
                    f"{folder} has {len(numbers)} of the {int(of)} files {before}-*-of-{of}{after}:"
                    f" {name} is missing",
                    "download the rest; for a part of a data set, name the files otherwise",
                )
    return parts


def gaps(parts: PackedParts) -> list[str]:
    """A note for each run of numbers NAME-000000, NAME-000001 that is not whole; nothing says how
    many there should be, so a part of a data set is not refused."""
    notes = []
    for paths in parts.splits.values():
        groups: defaultdict[tuple[Path, str, str], set[int]] = defaultdict(set)
        for path in paths:
            if not NUMBERED.match(path.name) and (match := LAST_NUMBER.match(path.name)):
                before, number, after = match.groups()
                groups[path.parent, before, after].add(int(number))
        for (_, before, after), numbers in sorted(groups.items()):
            first, last = min(numbers), max(numbers)
            if len(numbers) <= last - first:
                least = next(n for n in itertools.count(first) if n not in numbers)
                notes.append(
                    f"{before}*{after} are numbered {first} to {last} with gaps; the first number "
                    f"that is absent: {least}"
                )
    return notes


def _numbered(paths: Iterable[Path]) -> dict[tuple[Path, str, str, str], set[int]]:
    groups: defaultdict[tuple[Path, str, str, str], set[int]] = defaultdict(set)
    for path in paths:
        if match := NUMBERED.match(path.name):
            before, number, of, after = match.groups()
            groups[path.parent, before, of, after].add(int(number))
    return groups
