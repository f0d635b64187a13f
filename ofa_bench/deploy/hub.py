"""Exported folders on a hub of the Hugging Face kind: published after a summary, and fetched.

See `ofa_bench.optional.hugging_face` for what keeps tokens, and for how a hub's refusals are told.
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa_bench.atomic_io import sha256_file
from ofa_bench.deploy.model_folder.schema import (
    CARD,
    FOLDED,
    MODEL,
    PARITY,
    UNFOLDED,
    read_model,
)
from ofa_bench.errors import BenchError, UsageError
from ofa_bench.limits import advice, limit
from ofa_bench.optional.hugging_face import in_sentences, refuse_local, repository_of, unreachable
from ofa_bench.optional.libraries import require_library
from ofa_bench.records.store import read_bytes
from ofa_bench.sanitize import plain_text


@dataclass(frozen=True)
class Publication:
    """What would be sent where: files of the folder with their sizes in bytes."""

    repository: str
    endpoint: str
    private: bool
    files: tuple[tuple[str, int], ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(size for _, size in self.files)


def publish(
    folder: str | Path,
    name: str,
    *,
    confirm: Callable[[Publication], bool],
    private: bool = False,
) -> str | None:
    """Send an exported folder to a hub; returns the address of the commit.

    `confirm` is shown what would be sent before anything is; None is returned where it refuses.
    Raises UsageError where the folder is no export, or the extra `hub` is missing; BenchError where
    the hub refuses.
    """
    repository = repository_of(name)
    require_library("huggingface_hub", "hub", "publish")
    files = tuple(_files(Path(folder)))
    from huggingface_hub import HfApi

    hub = HfApi(library_name="ofa-bench")
    publication = Publication(repository, hub.endpoint, private, files)
    if not confirm(publication):
        return None
    try:
        with in_sentences(repository):
            hub.create_repo(repository, private=private, exist_ok=True)
            commit = hub.upload_folder(
                repo_id=repository,
                folder_path=folder,
                allow_patterns=[file for file, _ in files],
                commit_message="Export of ofa-bench",
            )
    except unreachable() as error:
        refuse_local(error)
        raise BenchError(
            f"{hub.endpoint} cannot be reached, or the connection broke: nothing is published in "
            "part, since files become visible in one commit",
            "run the same line again once it can be reached",
        ) from error
    return str(commit.commit_url)


def _files(folder: Path) -> Iterator[tuple[str, int]]:
    """Name and size of each file of an export. UsageError for links, folders, or no export."""
    if not folder.is_dir():
        raise UsageError(f"{plain_text(folder)}: no such folder", "name one that export wrote")
    read_model(folder)
    if not (folder / CARD).is_file():
        raise UsageError(f"{plain_text(folder)} has no {CARD}", "export the subnet anew")
    written = _written(folder)
    for path in sorted(folder.iterdir()):
        about = path.lstat()
        if not stat.S_ISREG(about.st_mode):
            raise UsageError(
                f"{plain_text(path)} is a link, a folder or no regular file, which no export holds",
                "remove it: only files that export wrote are sent",
            )
        if path.name.startswith("."):
            raise UsageError(f"{plain_text(path)} is a hidden file", "remove it: it would be sent")
        beside = path.name in (MODEL, PARITY, CARD)
        if not beside and written.get(path.name) != sha256_file(path):
            raise UsageError(
                f"{plain_text(path)} is no file that export wrote, or was changed since",
                "remove it, or export anew: only files that export wrote are sent",
            )
        yield path.name, about.st_size


def _written(folder: Path) -> dict[str, str]:
    """The hash of each file of a format, by name, as parity.json has them."""
    try:
        proof = json.loads(read_bytes(folder / PARITY, "model-file-bytes"))
        files = [about["files"] for about in proof["formats"].values()]
        return {str(name): str(digest) for part in files for name, digest in part.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{plain_text(folder / PARITY)} is not what export writes", "export the subnet anew"
        ) from error


def fetched(name: str | Path, revision: str | None = None) -> Path:
    """The local folder of a published export, downloaded where the cache has it not.

    Only `model.json` and the weights are taken, within the limits on weights files. Where the hub
    cannot be reached the cache is used. Raises UsageError where there is no such model.
    """
    repository = repository_of(name)
    require_library("huggingface_hub", "hub", f"load of {name}")
    from huggingface_hub import HfApi, snapshot_download

    wanted = [MODEL, FOLDED, UNFOLDED]
    try:
        with in_sentences(repository, revision):
            hub = HfApi(library_name="ofa-bench")
            about = hub.model_info(repository, revision=revision, files_metadata=True)
            _check_sizes(repository, about, wanted)
            # The commit whose sizes were checked, whatever is pushed meanwhile.
            commit = about.sha or revision or "main"
            path = snapshot_download(repository, revision=commit, allow_patterns=wanted)
            _remember(repository, revision or "main", commit)
            return Path(path)
    except unreachable() as error:
        refuse_local(error)
        return _cached(repository, revision, wanted)


def _check_sizes(repository: str, about: Any, wanted: list[str]) -> None:
    most = limit("weights-bytes")
    for file in about.siblings or ():
        if file.rfilename in wanted and (file.size or 0) > most:
            raise UsageError(
                f"{repository}: {file.rfilename} holds {file.size:,} bytes",
                advice("weights-bytes", file.size),
            )
    if MODEL not in {file.rfilename for file in about.siblings or ()}:
        raise UsageError(
            f"{repository} is no export of ofa-bench: it has no {MODEL}", "check the name"
        )


def _remember(repository: str, name: str, commit: str) -> None:
    """Note which commit a branch or tag was, as the library's cache does, for use offline."""
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.file_download import repo_folder_name

    if name == commit or not re.fullmatch(r"[\w.-]+", name) or name.startswith("."):
        return
    refs = Path(HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type="model") / "refs"
    refs.mkdir(parents=True, exist_ok=True)
    (refs / name).write_text(commit, encoding="utf-8")


def _cached(repository: str, revision: str | None, wanted: list[str]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                repository, revision=revision, allow_patterns=wanted, local_files_only=True
            )
        )
    except Exception as error:  # the library has several for a cache without it
        raise UsageError(
            f"{repository} is not in the cache, and the hub cannot be reached",
            "load it once while online, or name a folder",
        ) from error
