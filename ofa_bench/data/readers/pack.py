"""`data prepare --pack`: write the image files of a data set into tar shards, as they are.

A shard appears whole or not at all, in a hidden folder that becomes the data set when all are
there; another attempt goes on with those that are what it would write.
"""

from __future__ import annotations

import itertools
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ofa_bench.atomic_io import durable_file, make_folder, sync
from ofa_bench.data.discovery.datasets import DatasetSpec
from ofa_bench.data.discovery.decoder import reading_threads
from ofa_bench.data.discovery.file_hashes import Progress
from ofa_bench.data.discovery.layout import SEALED, locate, sealed_part
from ofa_bench.data.discovery.packed.listing import NAMES
from ofa_bench.data.open import read_collection
from ofa_bench.data.readers.image_set import Collection
from ofa_bench.data.readers.pixel_cache import check_room
from ofa_bench.data.readers.shard_files import (
    PART,
    PlannedShard,
    is_written,
    planned_shards,
    write_shard,
)
from ofa_bench.errors import BenchError, DataError
from ofa_bench.locks import exclusive

UNFINISHED = ".packing-"  # before the name of the folder to be made
SPLITS = "|".join(("train", *SEALED))
OURS = re.compile(
    rf"(?:[a-z0-9]+-(?:{SPLITS})-\d{{6,}}\.tar|{re.escape(NAMES)})"
    rf"(?:(?:\.[0-9a-f]{{8}})?\{PART})?"
)


@dataclass(frozen=True)
class Packed:
    """The resulting folder: number of images, of shards, and bytes; `resumed`: how many of the
    shards an earlier attempt has written."""

    root: str
    images: int
    shards: int
    bytes: int
    resumed: int = 0


def prepare_shards(
    spec: DatasetSpec,
    data_dir: Path | None,
    home: Path,
    shard_bytes: int,
    agree: Callable[[Packed], bool],
    progress: Progress | None = None,
) -> Packed:
    """Write the training and test images of a data set into shards of about `shard_bytes` each.

    Images keep their bytes and their order, so runs on the shards equal runs on the files bit for
    bit. The folder appears as a whole; shards of an attempt that was stopped are kept where they
    are what is to be written, to the byte. `agree` is called before anything is written. Raises
    DataError if there are no image files, one changed, or disk space is short; BenchError if
    `agree` refuses or the folder cannot be written.
    """
    location = locate(spec, data_dir) if spec.layout == "tree" else None
    if location is None or location.kind in ("pickles", "pixels"):
        raise DataError(
            f"{spec.name} is not in image files", "it is read quickly as it is: pack nothing"
        )
    collection = read_collection(spec, location, progress)
    names = _names(collection)
    tested = (sealed_part(location.root) if location.kind == "tree" else None) or "test"
    parts = {"train": collection.train, tested: collection.test}
    plan = [
        shard
        for split, part in parts.items()
        for shard in planned_shards(_stem(spec), split, part, shard_bytes)
    ]
    staging = home.with_name(f"{UNFINISHED}{home.name}")
    present = _present(staging, plan)
    total, images = sum(shard.most for shard in plan), sum(map(len, parts.values()))
    planned = Packed(str(home), images, len(plan), total, len(present))
    needed = total - sum(shard.size for shard in present)
    check_room(home, needed, "shards", _remedy(home, staging))
    if not agree(planned):
        raise BenchError("nothing was written", "--yes writes without asking")
    with _in_sentences(home), _staged(home, staging):
        kept = _kept(staging, plan, progress)
        _write(staging, plan, kept, progress)
        with durable_file(staging / NAMES) as file:
            file.write(names)
    return replace(planned, resumed=len(kept))


def _remedy(home: Path, staging: Path) -> str:
    """What makes room."""
    others = (path for path in home.parent.glob(f"{UNFINISHED}*") if path.is_dir())
    left = next((path for path in others if path != staging), None)
    if left is None:
        return "give --to a folder on a larger disk"
    return f"remove {left}, which another attempt left behind"


def _stem(spec: DatasetSpec) -> str:
    return re.sub(r"[^a-z0-9]+", "", spec.name.lower()) or "images"


def _present(staging: Path, plan: Sequence[PlannedShard]) -> list[PlannedShard]:
    """The planned shards that an earlier attempt may have written, by their names and sizes."""
    sizes: dict[str, int] = {}
    with suppress(OSError):
        for path in staging.iterdir():
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                sizes[path.name] = status.st_size
    return [shard for shard in plan if sizes.get(shard.name) == shard.size]


def _kept(
    staging: Path, plan: Sequence[PlannedShard], progress: Progress | None
) -> set[PlannedShard]:
    """The planned shards that are there, to the byte; all else is removed."""
    present, kept = _present(staging, plan), set()
    with reading_threads() as pool:
        verdicts = pool.imap(lambda shard: is_written(staging / shard.name, shard), present)
        for done, (shard, equal) in enumerate(zip(present, verdicts, strict=True), start=1):
            if equal:
                kept.add(shard)
            if progress:
                progress("comparing shards", done, len(present))
    names = {shard.name for shard in kept}
    for path in staging.iterdir():
        if path.name not in names:
            path.unlink()
    return kept


def _write(
    staging: Path,
    plan: Sequence[PlannedShard],
    kept: set[PlannedShard],
    progress: Progress | None,
) -> None:
    total = sum(len(shard.rows) for shard in plan)
    done = itertools.count(1 + sum(len(shard.rows) for shard in kept))

    def advance() -> None:
        if progress:
            progress("packing images", next(done), total)

    for shard in plan:
        if shard not in kept:
            write_shard(staging, shard, advance)


@contextmanager
def _staged(home: Path, staging: Path) -> Iterator[None]:
    """The hidden folder, held by this process alone, and renamed where the block ends well;
    otherwise it stays, unless nothing is in it. Raises BenchError or OSError."""
    lock = staging.with_name(f"{staging.name}.lock")
    with exclusive(lock, subject=str(staging)):
        if home.exists():
            raise BenchError(f"another process has written {home}", "use it")
        make_folder(home.parent, staging)
        if staging.stat().st_uid != getattr(os, "getuid", lambda: staging.stat().st_uid)():
            raise BenchError(
                f"{staging} is another user's", "move it elsewhere, or give --to another folder"
            )
        for path in staging.iterdir():
            if not OURS.fullmatch(path.name) or not stat.S_ISREG(path.lstat().st_mode):
                raise BenchError(
                    f"{staging} has {path.name!a} in it, which is not of `data prepare --pack`",
                    "move it elsewhere, or give --to another folder",
                )
        try:
            yield
            staging.chmod(0o755)
            sync(staging)
            staging.rename(home)
            lock.unlink(missing_ok=True)
        except BaseException:
            with suppress(OSError):
                staging.rmdir()
                lock.unlink()
            raise


@contextmanager
def _in_sentences(home: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BenchError(
            f"cannot write {home}: {error.strerror or error}",
            "give --to a folder that you may write, on a disk with room; where it has room again, "
            "the same line goes on after the last shard",
        ) from error


def _names(collection: Collection) -> bytes:
    """Class names in label order, one a line. Raises DataError if one is no line of text."""
    odd = [name for name in collection.classes if "\n" in name or name.strip("\r") != name]
    if odd or not all(map(str.strip, collection.classes)):
        raise DataError(
            "a class name is blank or has a line break in it, so it fits no list", "rename it"
        )
    text = "".join(f"{name}\n" for name in collection.classes)
    return text.encode("utf-8", "surrogateescape")
