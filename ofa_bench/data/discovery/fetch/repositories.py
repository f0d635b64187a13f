"""Download the parquet files of a data set on a hub of the Hugging Face kind. Torch-free.

Nothing but `data/*.parquet` is taken: no code, and no other file of the repository.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ofa_bench.atomic_io import open_regular, write_whole
from ofa_bench.errors import BenchError, DataError, UsageError
from ofa_bench.optional.hugging_face import in_sentences, refuse_local, repository_of, unreachable
from ofa_bench.optional.libraries import require_library
from ofa_bench.sanitize import plain_text

FILE = re.compile(r"data/[A-Za-z0-9_][\w.=-]{0,200}\.parquet", re.ASCII)
MOST_FILES = 20_000
SOURCE = "ofa-bench-source.json"  # beside the data: where they come from
LONGEST_SOURCE = 16 << 20


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository: its name, bytes, and its SHA-256, or else git's id of it."""

    name: str
    bytes: int
    sha256: str | None
    blob: str | None


@dataclass(frozen=True)
class RemoteFiles:
    """The parquet files of a data set at one revision, a commit."""

    repository: str
    revision: str
    files: tuple[RemoteFile, ...]

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.bytes for file in self.files)


def get_repository(
    name: str,
    folder: Path,
    *,
    agree: Callable[[RemoteFiles], bool],
    revision: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> RemoteFiles:
    """Download hf:USER/NAME into a folder; files that are there and whole are kept.

    `agree` is called with what would come before anything does. The commit is kept in
    `ofa-bench-source.json`. Raises UsageError if there is no such data set, or no parquet in it, or
    huggingface_hub is missing; DataError if a file is not what the hub says, or the folder has
    others; BenchError if `agree` refuses, the hub cannot be reached or there is no room.
    """
    repository = repository_of(name)
    require_library("huggingface_hub", "hub", f"data get {name}")
    try:
        with in_sentences(repository, revision):
            remote = _listed(repository, revision)
            _check_folder(folder, remote)
            if not agree(remote):
                raise BenchError("nothing was downloaded", "--yes downloads without asking")
            _check_room(folder, remote)
            done = 0
            for file in remote.files:
                _get(remote, file, folder)
                done += file.bytes
                if progress:
                    progress(done, remote.bytes)
    except unreachable() as error:
        refuse_local(error)
        raise BenchError(
            f"the hub cannot be reached, or the connection to it broke ({type(error).__name__})",
            "the same line goes on with what is there",
        ) from error
    write_whole(folder / SOURCE, json.dumps(asdict(remote), indent=1) + "\n")
    return remote


def _listed(repository: str, revision: str | None) -> RemoteFiles:
    from huggingface_hub import HfApi

    hub = HfApi(library_name="ofa-bench")
    about = hub.dataset_info(repository, revision=revision, files_metadata=True)
    files = [_remote(file) for file in about.siblings or () if FILE.fullmatch(file.rfilename)]
    if not files or not about.sha:
        raise UsageError(
            f"{repository} has no parquet files in data/",
            "only those are read: publish it with `Dataset.push_to_hub` of the library `datasets`, "
            "or download it by hand",
        )
    if len(files) > MOST_FILES:
        raise UsageError(f"{repository} has {len(files):,} parquet files", "download it by hand")
    return RemoteFiles(repository, about.sha, tuple(sorted(files, key=lambda file: file.name)))


def _remote(file: Any) -> RemoteFile:
    if not isinstance(file.size, int) or file.size < 0:
        raise DataError(f"the hub does not say how large {plain_text(file.rfilename)} is", "")
    sha256 = file.lfs.sha256 if file.lfs is not None else None
    return RemoteFile(file.rfilename, file.size, sha256, file.blob_id)


def _check_folder(folder: Path, remote: RemoteFiles) -> None:
    """Raise DataError if the folder has other parquet files, or those of another revision."""
    known = _kept(folder / SOURCE)
    names = {file.name for file in remote.files}
    others = sorted(
        p.name for p in (folder / "data").glob("*.parquet") if f"data/{p.name}" not in names
    )
    if others:
        raise DataError(
            f"{folder / 'data' / others[0]} is no file of {remote.repository}: two data sets would "
            "be mixed",
            "give --data-dir another folder",
        )
    if known and known != (remote.repository, remote.revision):
        raise DataError(
            f"{folder} has {plain_text(known[0])} at {plain_text(known[1])}, and "
            f"{remote.repository} is at {remote.revision} now",
            f"give --data-dir another folder, or --revision {plain_text(known[1], 40)}",
        )


def _kept(path: Path) -> tuple[str, str] | None:
    """The repository and revision that a folder has, as it is kept there; None if it is not."""
    try:
        with open_regular(path) as file:
            kept = json.loads(file.read(LONGEST_SOURCE))
        return str(kept["repository"]), str(kept["revision"])
    except FileNotFoundError:
        return None
    except NotADirectoryError as error:
        raise DataError(
            f"{path.parent} is a file, or below one", "give --data-dir a folder"
        ) from error
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror or 'it is no regular file'}",
            "give --data-dir a folder that you may read",
        ) from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(
            f"{path} does not say which data set the folder has", "give --data-dir another folder"
        ) from error


def _check_room(folder: Path, remote: RemoteFiles) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"cannot make the folder {folder}: {error.strerror or error}",
            "give --data-dir a folder that you may write",
        ) from error
    needed = sum(file.bytes for file in remote.files if not (folder / file.name).is_file())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise BenchError(
            f"{needed / 1e9:,.2f} GB do not fit into {folder}: {free / 1e9:,.2f} GB are free",
            "give --data-dir on a larger disk",
        )


def _get(remote: RemoteFiles, file: RemoteFile, folder: Path) -> None:
    from huggingface_hub import hf_hub_download

    path = folder / file.name
    if path.is_file() and not path.is_symlink() and _matches(path, file):
        return
    hf_hub_download(
        remote.repository,
        file.name,
        repo_type="dataset",
        revision=remote.revision,
        local_dir=folder,
        library_name="ofa-bench",
    )
    if not _matches(path, file):
        path.unlink(missing_ok=True)
        raise DataError(
            f"{path} is not the file that {remote.repository} has at {remote.revision}",
            "run the same line again",
        )


def _matches(path: Path, file: RemoteFile) -> bool:
    """Whether a file has the size and the hash that the hub gives."""
    size = path.stat().st_size
    if size != file.bytes:
        return False
    known = hashlib.sha256() if file.sha256 else hashlib.sha1(usedforsecurity=False)
    if not file.sha256:
        known.update(b"blob %d\0" % size)
    with open_regular(path) as stream:
        while piece := stream.read(1 << 20):
            known.update(piece)
    return known.hexdigest() == (file.sha256 or file.blob or known.hexdigest())
