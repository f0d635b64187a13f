"""`data prepare --pack`: write the image files of a data set into tar shards, as they are."""

from __future__ import annotations

import io
import itertools
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ofa_bench.atomic_io import durable_file, make_folder, new_folder
from ofa_bench.data.discovery.datasets import DatasetSpec
from ofa_bench.data.discovery.decoder import SUFFIXES, reading_threads
from ofa_bench.data.discovery.file_hashes import Progress
from ofa_bench.data.discovery.layout import locate, sealed_part
from ofa_bench.data.discovery.packed.listing import NAMES
from ofa_bench.data.open import read_collection
from ofa_bench.data.readers.image_set import Collection, ImageSet
from ofa_bench.data.readers.images import EncodedImages
from ofa_bench.data.readers.pixel_cache import UNFINISHED, check_room
from ofa_bench.errors import BenchError, DataError

AT_ONCE = 256  # images in memory between reading and writing
BESIDE = 3 * tarfile.BLOCKSIZE  # bytes of a shard for each image: two headers and the label
FORMS = {b"\xff\xd8": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"RIFF": ".webp", b"BM": ".bmp"}


@dataclass(frozen=True)
class Packed:
    """The resulting folder: number of images, of shards, and bytes."""

    root: str
    images: int
    shards: int
    bytes: int


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
    bit. The folder appears as a whole. `agree` is called before anything is written. Raises
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
    plan = {split: _cut(_encoded(part), shard_bytes) for split, part in parts.items()}
    shards = sum(map(len, plan.values()))
    total = sum(size for groups in plan.values() for _, size in groups)
    planned = Packed(str(home), sum(map(len, parts.values())), shards, total)
    check_room(home, total, "shards", "give --to a folder on a larger disk")
    if not agree(planned):
        raise BenchError("nothing was written", "--yes writes without asking")
    try:
        make_folder(home.parent, home.parent)
        with new_folder(home, UNFINISHED) as fresh:
            _write(fresh, _stem(spec), parts, plan, progress)
            with durable_file(fresh / NAMES) as file:
                file.write(names)
    except OSError as error:
        raise BenchError(
            f"cannot write {home}: {error.strerror or error}",
            "give --to a folder that you may write, on a disk with room",
        ) from error
    return planned


def _encoded(part: ImageSet) -> EncodedImages:
    assert isinstance(part.images, EncodedImages), "pixels were refused before"
    return part.images


def _stem(spec: DatasetSpec) -> str:
    return re.sub(r"[^a-z0-9]+", "", spec.name.lower()) or "images"


def _cut(images: EncodedImages, most: int) -> list[tuple[range, int]]:
    """Rows of each shard, and its bytes; a shard has at least one image."""
    groups: list[tuple[range, int]] = []
    first, size = 0, tarfile.RECORDSIZE
    for index in range(len(images)):
        whole = BESIDE + -(-images.size(index) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        if index > first and size + whole > most:
            groups.append((range(first, index), size))
            first, size = index, tarfile.RECORDSIZE
        size += whole
    return [*groups, (range(first, len(images)), size)]


def _write(
    folder: Path,
    stem: str,
    parts: dict[str, ImageSet],
    plan: dict[str, list[tuple[range, int]]],
    progress: Progress | None,
) -> None:
    total = sum(map(len, parts.values()))
    done = itertools.count(1)
    for split, groups in plan.items():
        part = parts[split]
        for number, (rows, _) in enumerate(groups):
            name = f"{stem}-{split}-{number:06d}.tar"
            with (
                durable_file(folder / name) as file,
                tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar,
            ):
                for row, raw in _read(_encoded(part), rows):
                    suffix = _suffix(_encoded(part).name(row), raw)
                    _add(tar, f"{row:09d}.cls", str(part.labels[row]).encode())
                    _add(tar, f"{row:09d}{suffix}", raw)  # after it: images may be large
                    if progress:
                        progress("packing images", next(done), total)


def _read(images: EncodedImages, rows: range) -> Iterator[tuple[int, bytes]]:
    with reading_threads() as pool:
        for start in range(0, len(rows), AT_ONCE):
            piece = rows[start : start + AT_ONCE]
            yield from zip(piece, pool.map(images.raw, piece), strict=True)


def _suffix(path: Path, raw: bytes) -> str:
    """The suffix that says how an image is encoded: its file's, or what its first bytes say."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return suffix
    return next((suffix for magic, suffix in FORMS.items() if raw.startswith(magic)), ".jpg")


def _add(tar: tarfile.TarFile, name: str, raw: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(raw)
    tar.addfile(member, io.BytesIO(raw))


def _names(collection: Collection) -> bytes:
    """Class names in label order, one a line. Raises DataError if one is no line of text."""
    odd = [name for name in collection.classes if "\n" in name or name.strip("\r") != name]
    if odd or not all(map(str.strip, collection.classes)):
        raise DataError(
            "a class name is blank or has a line break in it, so it fits no list", "rename it"
        )
    text = "".join(f"{name}\n" for name in collection.classes)
    return text.encode("utf-8", "surrogateescape")
