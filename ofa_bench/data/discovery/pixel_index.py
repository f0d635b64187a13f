"""The index of a folder of pixels, decoded once. Torch-free.

`images.bin` holds uint8 [H, W, 3] images one after the other; `images.safetensors` their heights
and widths, labels and hashes, training images first, and the class names in its header. There are
two hashes per image: that of the file it was decoded from, which identifies it, and that of the
stored pixels, which detects changes. The first cannot be verified from the pixels, so it is trusted
only in an index that this user made.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ofa_bench.atomic_io import open_regular, write_whole
from ofa_bench.data.discovery.datasets import DatasetSpec
from ofa_bench.data.discovery.decoder import decoder_of
from ofa_bench.data.discovery.file_hashes import content_digest, digest_rows
from ofa_bench.data.discovery.file_names import FileNames
from ofa_bench.data.discovery.layout import INDEX, user_cache
from ofa_bench.data.discovery.tree import ImageTree, Listing
from ofa_bench.errors import BenchError, DataError

PIXELS = "images.bin"
ARRAYS = ("shapes", "labels", "digests", "contents")
LONGEST = (1 << 16) - 1  # pixels of a side
NO_INDEX = (ValueError, KeyError, TypeError, AttributeError)
REMEDY = "remove the folder, and make it again with `ofa-bench data prepare DATASET --cache`"


class Index(NamedTuple):
    """The prepared images as a tree (without file names); heights and widths, int64 [n, 2]; hashes
    that identify images and hashes of the stored pixels, uint8 [n, 16]."""

    tree: ImageTree
    shapes: NDArray[np.int64]
    hashes: NDArray[np.uint8]
    contents: NDArray[np.uint8]


def index_of(
    tree: ImageTree, shapes: NDArray[np.int64], digests: list[str], contents: list[str]
) -> bytes:
    """The index of a tree's images, from their hashes and the shapes and hashes of the stored
    pixels. The user's cache records that this user made it."""
    labels = np.concatenate([tree.train.labels, tree.test.labels])
    hashes, kept = digest_rows(digests), digest_rows(contents)
    header: dict[str, Any] = {"classes": list(tree.classes), "train": len(tree.train)}
    header |= {"notes": tree.notes, "decoder": tree.decoder}
    arrays: dict[str, NDArray[Any]] = {"shapes": shapes, "labels": labels, "digests": hashes}
    raw = save({**arrays, "contents": kept}, {"images": json.dumps(header)})
    with suppress(BenchError):  # without a cache, its images are known by their pixels
        write_whole(_witness(raw), "")
    return raw


def _witness(index: bytes) -> Path:
    return user_cache() / "made" / content_digest(index)


def read_index(root: Path, spec: DatasetSpec) -> Index:
    """Read a folder's index. Raises DataError if it is damaged or of another data set."""
    try:
        with safe_open(root / INDEX, framework="numpy") as index:
            header = json.loads(index.metadata()["images"])
            if "contents" not in index.keys():  # noqa: SIM118
                raise ValueError("an earlier version made it, without hashes of its pixels")
            shapes, labels, hashes, contents = map(index.get_tensor, ARRAYS)
        classes, notes = (tuple(map(str, header[key])) for key in ("classes", "notes"))
        decoder = decoder_of(header.get("decoder"))
        border = int(header["train"])
        legal = all(_legal(shapes, labels, digests, len(classes)) for digests in (hashes, contents))
        if not 0 < border < len(labels) or not legal:
            raise ValueError("its index makes no sense")
        raw = (root / INDEX).read_bytes()
        with open_regular(root / PIXELS) as pixels:  # so that it is known to be readable
            size = os.fstat(pixels.fileno()).st_size
        if size != 3 * shapes.prod(1).sum():
            raise ValueError("its two files do not fit each other")
    except (OSError, SafetensorError, ArithmeticError, *NO_INDEX) as error:
        raise DataError(f"{root} is damaged: {error}", REMEDY) from error
    if spec.classes is not None and len(classes) != spec.classes:
        raise DataError(
            f"{root} holds {len(classes)} classes, {spec.name} has {spec.classes}",
            "name the data set that it was prepared from",
        )
    others = int((hashes != contents).any(1).sum())
    if others and not _witness(raw).is_file():
        hashes = contents
        notes += (f"{others} images are known by their pixels: another user prepared them",)
    nameless = FileNames(np.zeros(0, dtype=np.uint8), np.zeros(len(labels) + 1, dtype=np.int64))
    parts = (slice(None, border), slice(border, None))
    train, test = (Listing(nameless[part], labels[part]) for part in parts)
    return Index(ImageTree(root, classes, train, test, notes, decoder), shapes, hashes, contents)


def _legal(shapes: NDArray[Any], labels: NDArray[Any], hashes: NDArray[Any], classes: int) -> bool:
    """Whether arrays have the types, shapes and ranges of an index; no size can overflow."""
    kinds = [str(array.dtype) for array in (shapes, labels, hashes)]
    count = len(labels)
    return bool(
        kinds == ["int64", "int64", "uint8"]
        and [array.shape for array in (shapes, labels, hashes)]
        == [(count, 2), (count,), (count, 16)]
        and 0 < shapes.min() <= shapes.max() <= LONGEST
        and 0 <= labels.min() <= labels.max() < classes
    )
