"""Unpack archives of a data set, once and atomically. Torch-free."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from ofa_bench.atomic_io import make_folder, new_folder
from ofa_bench.data.discovery.datasets import DatasetSpec
from ofa_bench.data.discovery.decoder import reading
from ofa_bench.data.discovery.inflate import Enough, Unpacked
from ofa_bench.data.discovery.tar import DAMAGE, Tar, TarMember
from ofa_bench.errors import BenchError, DataError
from ofa_bench.locks import exclusive
from ofa_bench.seeding import digest

SUFFIXES = (".tar.gz", ".tgz", ".tar", ".tar.xz", ".tar.bz2")
SPLITS = ("train", "val", "validation", "test")
PEEK = 8 << 20  # bytes that are unpacked at most, to see what an archive holds
LAYOUT = 2  # of what is unpacked; 1 believed archives that were cut short
UNFINISHED = ".unpacking-"
Item = TypeVar("Item")


def archives_in(folder: Path, spec: DatasetSpec) -> tuple[Path, ...]:
    """The archives in a folder that contain the data set or a part of it, sorted.

    If some have the data set's name, others are ignored. Raises DataError if the only candidates
    are not regular files.
    """
    with reading(f"the folder {folder}", "check its permissions"):
        named = sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIXES))
    paths = [path for path in named if not path.is_dir()]
    regular = [path for path in paths if path.is_file()]
    if paths and not regular:
        raise DataError(
            f"{paths[0]} is no regular file",
            "put the archive itself there, or a link that leads to it",
        )
    name = re.compile(rf"(?<![a-z0-9]){re.escape(spec.name)}(?![0-9])", re.IGNORECASE)
    fitting = [path for path in regular if _fits(path, spec)]
    return tuple([path for path in fitting if name.search(path.name)] or fitting)


def unpacked(archives: Sequence[Path], cache: Path) -> Path:
    """The folder with the archives' members, unpacked on first use.

    Archives are unpacked into a temporary folder that is renamed at the end, so that an interrupted
    unpacking is not used. Raises DataError if an archive is damaged, truncated or refused.
    """
    stamps = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in archives]
    home = cache / f"unpacked-{digest(LAYOUT, *stamps)[:16]}"
    if _made(home):
        return home
    try:
        make_folder(cache.parent, cache)
        with exclusive(cache / "unpack.lock", subject=str(cache)) as alone:
            if not _made(home):
                for leftover in cache.glob(f"{UNFINISHED}*") if alone else ():
                    shutil.rmtree(leftover, ignore_errors=True)
                _unpack(archives, home)
    except BenchError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"cannot unpack archives into {cache}: {error.message}",
            "set XDG_CACHE_HOME to a folder you may write",
        ) from error
    return home


def _made(home: Path) -> bool:
    try:
        return stat.S_ISDIR(home.lstat().st_mode)  # a link is none of ours
    except OSError:
        return False


def _fits(path: Path, spec: DatasetSpec) -> bool:
    wanted = {*SPLITS, spec.pickles} - {""}
    try:
        with closing(Unpacked(path, most=PEEK)) as source:
            members = itertools.islice(Tar(source).members(), 4)
            return any(wanted & set(member.parts[:2]) for member in members)
    except Enough:
        return False
    except (DataError, *DAMAGE):
        return True  # Unpacking it will say what is wrong; leaving it out would lose images.


def _unpack(archives: Sequence[Path], home: Path) -> None:
    try:
        with new_folder(home, UNFINISHED) as folder:
            target = UnpackedFolder(folder)
            for path in archives:
                with closing(Unpacked(path)) as source:
                    tar = Tar(source)
                    for member in whole_items(path, tar.members()):
                        target.take(path, member, whole_items(path, tar.content()))
    except OSError as error:
        if _made(home):  # by another process, where the file system has no locks
            return
        raise DataError(
            f"cannot unpack below {home.parent}: {error.strerror or error}",
            "free some space, or set XDG_CACHE_HOME to a folder that you may write, on a "
            "larger disk",
        ) from error


def whole_items(path: Path, items: Iterator[Item]) -> Iterator[Item]:
    """Yield what is read from an archive. Raises DataError if it is damaged."""
    try:
        yield from items
    except DAMAGE as error:
        raise DataError(
            f"{path} cannot be unpacked: it is damaged or cut short ({error})",
            "fetch the archive again",
        ) from error


class UnpackedFolder:
    """A new folder that members of archives are written to; it never contains links."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: set[tuple[str, ...]] = {()}

    def take(self, archive: Path, member: TarMember, content: Iterator[memoryview]) -> None:
        """Write a member; an existing one with the same bytes is kept."""
        path = self._root.joinpath(*member.parts)
        try:
            self._make(member.parts if member.folder else member.parts[:-1])
            if not member.folder:
                _write(path, content)
        except (FileExistsError, NotADirectoryError) as error:
            if member.folder or not path.is_file() or not _same(path, content):
                raise DataError(
                    f"{archive}: {'/'.join(member.parts)!a} comes twice, with other content",
                    "pack the archive anew; where names differ only in upper and lower case, on a "
                    "file system that tells them apart",
                ) from error

    def _make(self, parts: tuple[str, ...]) -> None:
        for count in range(1, len(parts) + 1):
            if parts[:count] not in self._folders:
                folder = self._root.joinpath(*parts[:count])
                folder.mkdir(exist_ok=True)
                folder.chmod(0o755)
                self._folders.add(parts[:count])


def _write(path: Path, content: Iterator[memoryview]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    with open(os.open(path, flags, 0o600), "wb") as file:
        for piece in content:
            file.write(piece)
    path.chmod(0o644)


def _same(path: Path, content: Iterator[memoryview]) -> bool:
    with open(path, "rb") as file:
        return all(file.read(len(piece)) == piece for piece in content) and not file.read(1)
