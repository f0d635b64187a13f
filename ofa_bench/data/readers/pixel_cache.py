"""`data prepare --cache`: decode and scale down a tree of image files into one file."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ofa_bench.atomic_io import durable_file, make_folder, new_folder
from ofa_bench.data.discovery.datasets import DatasetSpec
from ofa_bench.data.discovery.decoder import reading_threads
from ofa_bench.data.discovery.file_hashes import Progress, content_digest, manifest
from ofa_bench.data.discovery.layout import BIG_FILES, INDEX, locate
from ofa_bench.data.discovery.manifest_table import Manifest
from ofa_bench.data.discovery.pixel_index import LONGEST, PIXELS, index_of
from ofa_bench.data.discovery.tree import ImageTree, list_tree
from ofa_bench.data.readers.images import read_image
from ofa_bench.errors import BenchError, DataError

UNFINISHED = ".preparing-"
ROOM = "give --to a larger disk, or a smaller --short side"
AT_ONCE = 512  # images in memory between decoding and writing
Decoded = tuple[NDArray[np.uint8], str, str]  # [H, W, 3]; hashes: known by, of the pixels


@dataclass(frozen=True)
class Cached:
    """The resulting folder: number of images, of images scaled down, and bytes of pixels."""

    root: str
    images: int
    scaled: int
    bytes: int


def prepare_cache(
    spec: DatasetSpec,
    data_dir: Path | None,
    to: Path | None,
    short: int,
    agree: Callable[[Cached], bool],
    progress: Progress | None = None,
) -> Cached:
    """Decode a class-per-folder tree into `to`; sides keep their ratio, the shorter is `short`.

    Images that are not larger are unchanged and keep the hashes of their files: if none is larger,
    runs on the cache equal runs on the files bit for bit. Otherwise it is another data set, and a
    note says so. `agree` is called before anything is written. Raises DataError if there are no
    files, one cannot be decoded, or disk space is short; BenchError if `agree` refuses.
    """
    location = locate(spec, data_dir) if spec.layout == "tree" else None
    if location is None or location.kind != "tree":
        packed = location is not None and location.kind in BIG_FILES
        hint = "pixels are made of image files in class folders" if packed else "it needs no cache"
        raise DataError(f"{spec.name} is not a folder of image files", hint)
    tree = list_tree(location.root, spec, progress)
    rows = manifest(tree.root, tree.files, location.hashes, progress)
    home = to or location.cache / f"pixels-{short}"
    shapes = [_fitted(height, width, short) for width, height in rows.shapes.tolist()]
    _check_sides(tree.files, shapes)
    scaled = int((rows.shapes.min(1) > short).sum())
    planned = Cached(str(home), len(rows), scaled, sum(3 * h * w for h, w in shapes))
    check_room(home, planned.bytes, "pixels", ROOM)
    if not agree(planned):
        raise BenchError("nothing was written", "--yes writes without asking")
    note = f"{scaled} images were scaled down beforehand, to a shorter side of {short} pixels"
    tree = replace(tree, notes=(*tree.notes, *([note] if scaled else ())))
    decoded = _decoded(tree, rows, short, progress)
    try:
        make_folder(location.cache.parent if to is None else home.parent, home.parent)
        with new_folder(home, UNFINISHED) as fresh:
            with durable_file(fresh / PIXELS) as file:
                sizes, digests, contents = _write(file, decoded)
            with durable_file(fresh / INDEX) as file:
                file.write(index_of(tree, sizes, digests, contents))
    except OSError as error:
        raise BenchError(
            f"cannot write {home}: {error.strerror or error}",
            "give --to a folder that you may write, on a disk with room",
        ) from error
    return planned


def _fitted(height: int, width: int, short: int) -> tuple[int, int]:
    """Height and width with the shorter side at most `short`, rounded down as in torchvision."""
    least = min(height, width)
    if least <= short:
        return height, width
    return (short, short * width // least) if height == least else (short * height // least, short)


def _check_sides(files: Sequence[str], shapes: Sequence[tuple[int, int]]) -> None:
    for name, (height, width) in zip(files, shapes, strict=True):
        if max(height, width) > LONGEST:
            size = f"{width} pixels wide and {height} high"
            raise DataError(f"{name} would be {size}: no side may exceed {LONGEST}", "leave it out")


def check_room(home: Path, needed: int, kind: str, remedy: str) -> None:
    """Raise DataError if a new folder is there already or `needed` bytes of `kind` do not fit."""
    if home.exists():
        raise DataError(f"{home} is there already", "use it, or give --to another folder")
    above = next(folder for folder in home.absolute().parents if folder.exists())
    free = shutil.disk_usage(above).free
    if needed > free:
        left = next(home.parent.glob(f"{UNFINISHED}*"), None)
        raise DataError(
            f"{needed / 1e9:,.1f} GB of {kind} do not fit below {above}: {free / 1e9:,.1f} GB free",
            f"remove {left}, which an attempt that was killed left behind" if left else remedy,
        )


def _decoded(
    tree: ImageTree, rows: Manifest, short: int, progress: Progress | None
) -> Iterator[Decoded]:
    files = tree.files
    with reading_threads() as pool:
        for start in range(0, len(files), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            paths = [tree.root / name for name in files[part]]
            known = [rows.digests[row].tobytes() for row in range(*part.indices(len(rows)))]
            yield from pool.starmap(_scaled, zip(paths, known, [short] * len(paths), strict=True))
            if progress:
                progress("decoding files", min(start + AT_ONCE, len(files)), len(files))


def _scaled(path: Path, known: bytes, short: int) -> Decoded:
    from torchvision.transforms.v2.functional import resize

    image = read_image(path, known)
    height, width = image.shape[1:]
    small = min(height, width) <= short
    if not small:
        image = resize(image, list(_fitted(height, width, short)), antialias=True)
    pixels = image.permute(1, 2, 0).contiguous().numpy()
    content = content_digest(pixels.data)
    return pixels, known.hex() if small else content, content


def _write(
    file: BinaryIO, images: Iterator[Decoded]
) -> tuple[NDArray[np.int64], list[str], list[str]]:
    rows = []
    for pixels, known, content in images:
        file.write(pixels.data)
        rows.append((pixels.shape[:2], known, content))
    sizes, digests, contents = zip(*rows, strict=True)
    return np.array(sizes, dtype=np.int64), list(digests), list(contents)
