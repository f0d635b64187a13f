"""The folder of a site: written beside, then put in place; what else lies there stays.

Which pages are left from before, the site's own marker lists. It is not believed further than that:
only names that this package gives to pages are taken from it, in the folders that it makes.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ofa_bench.atomic_io import make_folder, new_folder
from ofa_bench.errors import BenchError, UsageError
from ofa_bench.records.store import read_bytes
from ofa_bench.sanitize import plain_text

MARKER = "ofa-bench-site.json"
FIRST = "index.html"
PAGES = re.compile(
    r"(curves|records|tracks|truth)/[0-9a-f]{32}(-[0-9]{1,9})?\.(html|tar\.xz)"
    r"|methods/[a-z0-9_+-][a-z0-9._+-]{0,99}\.html"
)
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
    if MARKER in names or not names:
        return None
    return f"{FIRST}, which would be replaced" if FIRST in names else names[0]


def marker_text(made_by: str, pages: int, files: Iterable[str]) -> bytes:
    """What the marker of a site with these files holds: those that a later site may remove."""
    listed = sorted(name for name in files if PAGES.fullmatch(name))
    return (json.dumps({"made_by": made_by, "pages": pages, "files": listed}) + "\n").encode()


@contextmanager
def staged_site(folder: Path) -> Iterator[Path]:
    """An empty folder to write a site into, which is put in place where the block ends well.

    A new site appears whole; in one that is there each file is replaced whole, the first page last,
    and pages that its marker lists and that are no longer part of it go. Raises BenchError where
    nothing can be written.
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
    former = _former_pages(folder)
    files = [path.relative_to(fresh) for path in fresh.rglob("*") if path.is_file()]
    files.sort(key=lambda path: (len(path.parts) == 1, str(path)))  # pages before those that link
    files.sort(key=lambda path: path.name == MARKER)  # what it lists is there, and no more
    for path in files:
        if path.name == MARKER:
            _remove(folder, former - {other.as_posix() for other in files})
        make_folder(folder, (folder / path).parent)
        (fresh / path).replace(folder / path)


def _former_pages(folder: Path) -> set[str]:
    """The pages that the marker of an earlier site lists; none where it cannot be read."""
    try:
        listed = json.loads(read_bytes(folder / MARKER, "site-marker-bytes"))["files"]
        return {name for name in listed if isinstance(name, str) and PAGES.fullmatch(name)}
    except (UsageError, ValueError, KeyError, TypeError, RecursionError):
        return set()


def _remove(folder: Path, pages: Iterable[str]) -> None:
    """Remove pages of an earlier site; links are neither followed nor removed."""
    for path in (folder / name for name in sorted(pages)):
        linked = path.is_symlink() or path.parent.is_symlink()
        if path.is_file() and not linked:
            path.unlink()
