"""Archives of a data set: unpacked once, whole or not at all. Torch-free."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from ofa_bench.data.datasets import DatasetSpec
from ofa_bench.errors import DataError
from ofa_bench.keys import digest

SUFFIXES = (".tar.gz", ".tgz", ".tar", ".tar.xz", ".tar.bz2")
SPLITS = ("train", "val", "test")
_BROKEN = (tarfile.TarError, EOFError, OSError, zlib.error)


def archives_in(folder: Path, spec: DatasetSpec) -> tuple[Path, ...]:
    """The archives in a folder that hold (a part of) the data set, sorted.

    Where some bear its name, the others are another data set's.
    """
    found = [path for path in _files(folder) if path.name.endswith(SUFFIXES)]
    name = re.compile(rf"(?<![a-z0-9]){re.escape(spec.name)}(?![0-9])", re.IGNORECASE)
    fitting = [path for path in found if _fits(path, spec)]
    return tuple([path for path in fitting if name.search(path.name)] or fitting)


def unpacked(archives: Sequence[Path], cache: Path) -> Path:
    """The folder that holds the archives' members, made on first use.

    Unpacking happens beside and ends with a rename, so what an interrupted one left is never
    taken for the data. DataError names an archive that is damaged or cut short.
    """
    stamps = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in archives]
    home = cache / f"unpacked-{digest(*stamps)[:16]}"
    if home.is_dir():
        return home
    with _alone(cache):
        if not home.is_dir():
            _discard_leftovers(cache)
            _unpack(archives, home)
    return home


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise DataError(
            f"cannot read the folder {folder}: {error.strerror or error}", "check its permissions"
        ) from error


def _fits(path: Path, spec: DatasetSpec) -> bool:
    try:
        with tarfile.open(path) as archive:
            names = [member.name for member in itertools.islice(archive, 4)]
    except _BROKEN:
        return True  # Unpacking it will say what is wrong; leaving it out would lose images.
    wanted = {*SPLITS, spec.pickles} - {""}
    return any(wanted & set(PurePosixPath(name).parts[:2]) for name in names)


def _unpack(archives: Sequence[Path], home: Path) -> None:
    beside = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=home.parent))
    try:
        for path in archives:
            _extract(path, beside)
        beside.chmod(0o755)
        beside.rename(home)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _extract(path: Path, target: Path) -> None:
    try:
        with tarfile.open(path) as archive:
            archive.extractall(target, filter="data")
    except _BROKEN as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(
                f"no space to unpack {path} below {target.parent}",
                "free some space, or set XDG_CACHE_HOME to a larger disk",
            ) from error
        raise DataError(
            f"{path} cannot be unpacked: it is damaged or cut short ({error})",
            "fetch the archive again",
        ) from error


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """One process at a time unpacks into a cache; the others wait and find it done."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        handle = os.open(cache / "unpack.lock", os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        raise DataError(
            f"cannot unpack archives into {cache}: {error.strerror or error}",
            "set XDG_CACHE_HOME to a folder you may write",
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _discard_leftovers(cache: Path) -> None:
    for leftover in cache.glob(".unpacking-*"):
        shutil.rmtree(leftover, ignore_errors=True)
