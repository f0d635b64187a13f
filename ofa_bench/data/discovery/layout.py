"""Locate a data set's files, by folder name and contents. Torch-free."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ofa_bench.data.discovery.archives import archives_in, unpacked
from ofa_bench.data.discovery.datasets import DatasetSpec
from ofa_bench.data.discovery.imagenet.flat_part import is_flat
from ofa_bench.data.discovery.manifest_table import TABLE_NAME, TABLE_SUFFIX
from ofa_bench.data.discovery.packed.class_tars import class_of, class_tars
from ofa_bench.data.discovery.packed.parts import packed_parts
from ofa_bench.data.discovery.unsupported import remedies_of, unread_layouts
from ofa_bench.errors import DataError
from ofa_bench.seeding import digest

ENVIRONMENT = "OFA_BENCH_DATA"
CACHE = ".ofa-bench"
SPELLINGS = {
    **dict.fromkeys(("train", "training", "trainset"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "testset"), "test"),
}
SEALED = ("test", "val", "validation")  # names of the folder with the test images, in this order
BIG_FILES = ("shards", "parquet", "class-tars")  # kinds whose images lie inside other files
INDEX = "images.safetensors"  # of a folder of pixels that `data prepare --cache` made


@dataclass(frozen=True)
class DataLocation:
    """A data set's folder, its layout, and the cache folder for derived files."""

    root: Path
    kind: Literal["pickles", "tree", "pixels", "shards", "parquet", "class-tars"]
    cache: Path

    @property
    def hashes(self) -> Path:
        """The cache file of its images' hashes, one a machine: a home folder may be shared, where a
        machine must not replace what another has mapped, nor a node the table of another node's
        data at the same path. It is in the user's cache, since the data folder is untrusted."""
        name = f"{TABLE_NAME}{digest(socket.gethostname())[:12]}{TABLE_SUFFIX}"
        return user_cache() / f"{self.root.name}-{_mark(self.root)}" / name


def locate(spec: DatasetSpec, data_dir: Path | None, cache: Path | None = None) -> DataLocation:
    """Find a data set; archives are unpacked on the way.

    `data_dir` is the data set's folder or its parent; without it, $OFA_BENCH_DATA and
    ./data are searched. Raises DataError with the searched folders and the wanted layout.
    """
    bases = _bases(data_dir)
    looked: list[Path] = []
    for base in bases:
        pickles = spec.pickles and base.resolve().name == spec.pickles
        root = base.resolve().parent if pickles else base
        for folder in (*(base / name for name in spec.folders or (spec.name,)), root):
            looked.append(folder)
            location = _recognise(folder, spec, cache) if folder.is_dir() else None
            if location:
                return location
    where = ", ".join(str(path) for path in looked if path.parent in bases or path in bases)
    near = [remark for folder in looked if folder.is_dir() for remark in _near_misses(folder)]
    raise DataError(
        f"there is no {spec.name} data set: looked in {where}" + "".join(f"; {n}" for n in near),
        f"wanted: {spec.wanted}; to get it: {spec.get}; then name its folder with --data-dir DIR "
        f"or ${ENVIRONMENT}",
    )


def cache_for(folder: Path, override: Path | None = None) -> Path:
    """The folder for unpacked archives and hashes.

    It is below the data, where that may be written, else in the user's cache.
    """
    inside = folder / CACHE
    if override is None and os.access(inside if inside.is_dir() else folder, os.W_OK):
        return inside
    return (override or user_cache()) / f"{folder.name}-{_mark(folder)}"


def user_cache() -> Path:
    """The project's folder in the user's cache, $XDG_CACHE_HOME."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ofa-bench"
    except RuntimeError:
        return Path(os.devnull) / "ofa-bench"  # a user without a home: nothing can be kept


def _mark(folder: Path) -> str:
    return digest(str(folder.resolve()))[:12]


def _bases(data_dir: Path | None) -> list[Path]:
    if data_dir is not None:
        if not data_dir.is_dir():
            raise DataError(
                f"the data folder {data_dir} does not exist"
                if not data_dir.exists()
                else f"{data_dir} is a file, not a folder",
                "give --data-dir the data set's folder, or the folder it is in"
                + "".join(f"; {remedy}" for remedy in remedies_of(data_dir)),
            )
        return [data_dir]
    named = os.environ.get(ENVIRONMENT)
    if named and not Path(named).is_dir():
        raise DataError(
            f"${ENVIRONMENT} names {named}, which is not a folder",
            f"set {ENVIRONMENT} to the folder of your data sets, or use --data-dir DIR",
        )
    return [*([Path(named)] if named else []), Path("data")]


def _recognise(folder: Path, spec: DatasetSpec, cache: Path | None) -> DataLocation | None:
    home = cache_for(folder, cache)
    location = _ready(folder, spec, home)
    if location:
        return location
    archives = archives_in(folder, spec)
    if archives:
        return _in_archives(folder, unpacked(archives, home), spec, home)
    if (folder / "train").is_dir():
        near = "".join(f"; {remark}" for remark in _near_misses(folder))
        raise DataError(
            f"{folder} has train/ but neither val/ nor test/{near}", f"wanted: {spec.wanted}"
        )
    return None


def _near_misses(folder: Path) -> Iterator[str]:
    """Names in a folder that are almost a data set: misspelt folders, layouts that are not read."""
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    for path in entries:
        wanted = SPELLINGS.get(path.name.lower())
        known = path.name == wanted or path.name in SEALED
        if path.is_dir() and wanted and not known and not (folder / wanted).is_dir():
            yield f"{path} must be called {wanted}/: rename it"
    yield from unread_layouts(folder)


def _ready(folder: Path, spec: DatasetSpec, home: Path) -> DataLocation | None:
    if (folder / INDEX).is_file():
        return DataLocation(folder, "pixels", home)
    if spec.pickles and (folder / spec.pickles).is_dir():
        return DataLocation(folder, "pickles", home)
    if packed := packed_parts(folder):
        return DataLocation(folder, packed.kind, home)
    if (folder / "train").is_dir() and sealed_part(folder):
        kind: Literal["tree", "class-tars"] = "tree"
        if class_tars(folder / "train"):
            kind = "class-tars"
        return DataLocation(folder, kind, home)
    return None


def _in_archives(folder: Path, root: Path, spec: DatasetSpec, home: Path) -> DataLocation:
    inner = sorted(path for path in root.iterdir() if path.is_dir())
    for candidate in (root, *inner):
        location = _ready(candidate, spec, home)
        if location:
            return location
    held = ", ".join(f"{path.name}/" for path in inner) or "nothing"
    raise DataError(
        f"the archives in {folder} hold {held}, which is not the whole of {spec.name}",
        f"wanted: {spec.wanted}",
    )


def sealed_part(root: Path) -> str | None:
    """The name of the folder with the test images: `test` where it is, else `val` or `validation`.

    A `test` without any of the class folders of `train` (the unlabelled images of a competition,
    or nothing) gives way to one that has some, or to images in one folder that a list may label.
    """
    present = [name for name in SEALED if (root / name).is_dir()]
    trained = _class_names(root / "train")
    fitting = [name for name in present if trained & _class_names(root / name)]
    if fitting:
        return fitting[0]
    flat = [name for name in present if name != "test" and is_flat(root / name)]
    return next(iter(flat or present), None)


def _class_names(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            folders = {e.name for e in entries if e.is_dir() and not e.name.startswith(".")}
    except OSError:
        return set()
    return folders or {class_of(path) for path in class_tars(folder)}
