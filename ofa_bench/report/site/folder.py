"""The folder of a site: written beside, then put in place; what else lies there stays.

A file that the folder holds is never believed: which pages are left from before is known by the
names that this package gives, in the folders that it makes.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ofa_bench.atomic_io import make_folder, new_folder
from ofa_bench.errors import BenchError, UsageError
from ofa_bench.sanitize import plain_text

MARKER = "ofa-bench-site.json"
FOLDERS = ("assets", "curves", "methods", "records", "tracks", "truth")
OURS = re.compile(r"[a-z0-9][a-z0-9._-]*\.(html|tar\.xz|js|css)")
CHOOSE = "choose another folder with -o DIR"


def holds_other_files(folder: Path) -> str | None:
    """A file in a folder that is no site of ours; None where a site may be written without asking.

    Raises UsageError where the path is a file or a link.
    """
    if folder.is_symlink():
        raise UsageError(f"{plain_text(folder)} is a link, which is not followed", CHOOSE)
    if not folder.exists():
        return None
    if not folder.is_dir():
        raise UsageError(f"{plain_text(folder)} is a file", CHOOSE)
    names = sorted(path.name for path in folder.iterdir())
    return None if MARKER in names or not names else names[0]


@contextmanager
def staged_site(folder: Path) -> Iterator[Path]:
    """An empty folder to write a site into, which is put in place where the block ends well.

    A new site appears whole; in one that is there each file is replaced whole, the first page last,
    and pages of ours that are no longer part of it go. Raises BenchError where nothing can be
    written.
    """
    folder = folder.absolute()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if not folder.exists():
            with new_folder(folder, f".{folder.name}.") as fresh:
                yield fresh
            return
        fresh = Path(tempfile.mkdtemp(prefix=".site-", suffix=".part", dir=folder))
        try:
            yield fresh
            _replace(folder, fresh)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    except OSError as error:
        raise BenchError(
            f"cannot write {plain_text(folder)}: {error.strerror or error}",
            f"free some space, or {CHOOSE}",
        ) from error


def _replace(folder: Path, fresh: Path) -> None:
    files = [path.relative_to(fresh) for path in fresh.rglob("*") if path.is_file()]
    files.sort(key=lambda path: (len(path.parts) == 1, str(path)))  # pages before those that link
    for path in files:
        make_folder(folder, (folder / path).parent)
        (fresh / path).replace(folder / path)
    for name in FOLDERS:
        _remove_former(folder / name, {path.name for path in files if path.parts[0] == name})


def _remove_former(folder: Path, current: set[str]) -> None:
    """Remove the pages of an earlier site that are not part of this one."""
    if folder.is_symlink() or not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name not in current and OURS.fullmatch(path.name) and path.is_file():
            path.unlink()
