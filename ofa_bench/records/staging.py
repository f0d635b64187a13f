"""Several files stored as one act: all of them appear, or none, whatever stops the process.

Files are written below `.incoming/NAME.part` of the results folder. Renaming that folder to
`NAME.ready` decides that they are stored; linking them to their paths can then be finished by any
later reader. What a killed process left undecided is removed by the next one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ofa_bench.atomic_io import make_folder, unwritable
from ofa_bench.errors import BenchError
from ofa_bench.locks import attempt

FOLDER = ".incoming"
PART, READY = ".part", ".ready"
ABANDONED = 3600.0  # seconds after which a folder is nobody's, where the file system has no locks
ATTEMPTS = 1000  # to make a folder that no other process removes before it is locked
PATIENCE = 5.0  # seconds that a reader waits for a live process to finish its links


class Staging:
    """A context in which files are written for the results folder; `commit` stores them."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self._files: list[Path] = []

    def __enter__(self) -> Staging:
        recover(self.results)
        parent = self.results / FOLDER
        try:
            self._folder, self._lock = self._open(parent)
        except OSError as error:
            raise unwritable(parent, error) from error
        return self

    def _open(self, parent: Path) -> tuple[Path, int]:
        """A new folder and the handle that locks it. Other processes remove the parent while it is
        empty, and a folder that is not locked yet."""
        for _ in range(ATTEMPTS):
            try:
                make_folder(self.results, parent)
                folder = Path(tempfile.mkdtemp(suffix=PART, dir=parent))
                handle = os.open(folder, os.O_RDONLY)
            except (FileNotFoundError, BenchError) as error:
                removed = isinstance(error.__cause__, FileNotFoundError)  # while it was being made
                if isinstance(error, BenchError) and not removed:
                    raise
                continue
            if attempt(handle) is not False and folder.exists():
                return folder, handle
            os.close(handle)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(parent))

    def __exit__(self, *error: object) -> None:
        _remove(self._folder)
        os.close(self._lock)

    def write(self, relative: Path, data: bytes) -> None:
        """Write one file, to be stored at a path relative to the results folder."""
        path = self._folder / relative
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise unwritable(self.results / relative, error) from error
        self._files.append(relative)

    def commit(self) -> None:
        """Store all files; BenchError, and none of them, where that cannot be done."""
        if not self._files or self._renamed():
            return
        ready = self._folder.with_suffix(READY)
        try:
            for relative in self._files:
                make_folder(self.results, (self.results / relative).parent)
            self._folder.rename(ready)
        except OSError as error:
            raise unwritable(self.results, error) from error
        part, self._folder = self._folder, ready
        linked: list[Path] = []
        try:
            _link(ready, self.results, linked)
        except (OSError, BenchError) as error:
            ready.rename(part)
            self._folder = part
            for path in linked:
                path.unlink(missing_ok=True)
            if isinstance(error, BenchError):
                raise
            raise unwritable(self.results, error) from error

    def _renamed(self) -> bool:
        """Whether one rename stored everything, as it can where there is no such folder yet."""
        tops = {relative.parts[0] for relative in self._files}
        if len(tops) != 1:
            return False
        (top,) = tops
        target = self.results / top
        if target.exists():
            return False
        try:
            (self._folder / top).rename(target)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                return False
            raise unwritable(target, error) from error
        return True


def recover(results: Path) -> None:
    """Finish or remove what killed processes left; silent where the folder may not be written."""
    parent = results / FOLDER
    if parent.is_symlink() or not parent.is_dir():
        return
    try:
        folders = sorted(parent.iterdir())
    except OSError:  # another process has removed it, or it may not be read
        return
    for folder in folders:
        with contextlib.suppress(OSError, BenchError), _locked(folder) as free:
            if folder.suffix == READY and folder.is_dir():
                _link(folder, results, [])
                _remove(folder)
            elif free and folder.suffix == PART:
                _remove(folder)
    with contextlib.suppress(OSError):
        parent.rmdir()


def _link(ready: Path, results: Path, linked: list[Path]) -> None:
    """Link every staged file to its path; those that are there already must be the same."""
    files = [path for path in ready.rglob("*") if path.is_file() and not path.is_symlink()]
    for path in sorted(files, key=lambda path: (path.suffix == ".json", path)):
        target = results / path.relative_to(ready)
        try:
            make_folder(results, target.parent)
            os.link(path, target)
        except FileNotFoundError:
            continue  # another process finished in the meantime
        except FileExistsError:
            if target.read_bytes() != path.read_bytes():
                raise BenchError(
                    f"{target} holds another record already", "records are never overwritten"
                ) from None
        else:
            linked.append(target)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Whether the process that made the folder is gone; a decided one is waited for."""
    handle = os.open(folder, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    try:
        end = time.monotonic() + (PATIENCE if folder.suffix == READY else 0.0)
        while (free := attempt(handle)) is False and time.monotonic() < end:
            time.sleep(0.01)
        if free is None:
            # Without locks only age tells: what still writes has touched its folder since.
            free = time.time() - os.fstat(handle).st_mtime > ABANDONED
        yield free
    finally:
        os.close(handle)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.parent.rmdir()
