"""Files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from ofa_bench.errors import BenchError


def write_whole(path: Path, data: bytes | str, *, exclusive: bool = False) -> None:
    """Write beside, fsync, rename; readers see the old file or the new one, never a part.

    With `exclusive`, an existing file is left alone and FileExistsError raised. Raises BenchError
    when the disk is full or the folder may not be written.
    """
    raw = data.encode() if isinstance(data, str) else data
    beside: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
        beside = Path(name)
        beside.write_bytes(raw)
        _sync(beside)
        beside.chmod(0o644)
        if exclusive:
            os.link(beside, path)
        else:
            beside.replace(path)
        _sync(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if beside is not None:
            beside.unlink(missing_ok=True)


def unwritable(path: Path, error: OSError) -> BenchError:
    """What to say where the disk is full or the folder may not be written."""
    return BenchError(
        f"cannot write {path}: {error.strerror or error}",
        "free some space or choose another folder with --results DIR",
    )


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
