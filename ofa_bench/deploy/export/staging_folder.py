"""A folder that appears whole or not at all: written beside, synced, renamed into place."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from ofa_bench.atomic_io import sync
from ofa_bench.deploy.model_folder.schema import MODEL, read_model
from ofa_bench.errors import BenchError, UsageError
from ofa_bench.sanitize import plain_text

CHOOSE = "choose another folder with -o DIR"


def check_target(folder: Path, known: Collection[str]) -> None:
    """Raise UsageError unless the folder is absent, empty, or an earlier export that holds nothing
    but files of exports (`known`)."""
    shown = plain_text(folder)
    if folder.is_symlink():
        raise UsageError(f"{shown} is a link, which is not followed", CHOOSE)
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{shown} is a file", CHOOSE)
    names = sorted(path.name for path in folder.iterdir())
    if not names:
        return
    strange = [name for name in names if name not in known]
    if strange or MODEL not in names:
        reason = plain_text(strange[0]) if strange else f"no {MODEL}"
        raise UsageError(f"{shown} is no earlier export: it holds {reason}", CHOOSE)
    try:
        read_model(folder)
    except UsageError as error:
        raise UsageError(f"{shown} is no earlier export: {error.message}", CHOOSE) from error


@contextmanager
def staged(folder: Path, known: Collection[str]) -> Iterator[Path]:
    """An empty folder beside `folder`, which takes its place where the block ends well; otherwise
    it is removed and nothing has changed. Raises BenchError where it cannot be written."""
    check_target(folder, known)
    beside: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(
            tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent)
        )
        yield beside
        _settle(beside)
        _replace(folder, beside)
    except OSError as error:
        raise BenchError(
            f"cannot write {plain_text(folder)}: {error.strerror or error}",
            f"free some space, or {CHOOSE}",
        ) from error
    finally:
        if beside is not None:
            shutil.rmtree(beside, ignore_errors=True)


def _settle(folder: Path) -> None:
    """Readable by others, and on the disk."""
    for path in [*sorted(folder.rglob("*")), folder]:
        path.chmod(0o755 if path.is_dir() else 0o644)
        sync(path)


def _replace(folder: Path, beside: Path) -> None:
    if not folder.exists():
        beside.rename(folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".old", dir=folder.parent))
    folder.rename(old / "export")
    try:
        beside.rename(folder)
    except BaseException:
        (old / "export").rename(folder)
        old.rmdir()
        raise
    shutil.rmtree(old, ignore_errors=True)
