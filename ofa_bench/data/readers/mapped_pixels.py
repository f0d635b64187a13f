"""Images in one memory-mapped file of pixels, which workers read instead of decoding."""

from __future__ import annotations

import mmap
import os
import random
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ofa_bench.atomic_io import open_regular
from ofa_bench.data.discovery.datasets import DatasetSpec
from ofa_bench.data.discovery.decoder import reading_threads
from ofa_bench.data.discovery.file_hashes import SAMPLE, content_digest
from ofa_bench.data.discovery.pixel_index import PIXELS, REMEDY, Index, read_index
from ofa_bench.data.readers.image_set import Collection, ImageSet
from ofa_bench.data.readers.images import Images
from ofa_bench.errors import DataError

CHECKED_WHOLE = 64 << 20  # bytes of pixels up to which all are compared with their hashes at once


class MappedImages(Images):
    """Images in a file of pixels. An image is compared with its hash at its first read in this
    process or one forked from it."""

    def __init__(
        self, path: Path, shapes: NDArray[np.int64], first: int, contents: NDArray[np.uint8]
    ) -> None:
        """`shapes` are heights and widths, int64 [n, 2]; `first`: the byte they begin at;
        `contents`: hashes of the pixels, uint8 [n, 16]."""
        self.path = path
        self.shapes = shapes
        self.starts = first + np.concatenate([[0], np.cumsum(3 * shapes.prod(1))])
        self.contents = contents
        sides = np.unique(shapes)
        self.side = int(sides[0]) if len(sides) == 1 else None
        assert len(self._checked) >= len(self)  # made here, to be shared by what is forked later

    def __len__(self) -> int:
        return len(self.shapes)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k not in ("_file", "_checked")}

    @cached_property
    def _file(self) -> BinaryIO:
        return open_regular(self.path)

    @cached_property
    def _checked(self) -> mmap.mmap:
        """A byte an image, in memory that forked processes share: 1 once it was compared."""
        return mmap.mmap(-1, len(self))

    def decode(self, index: int) -> Tensor:
        """One image, uint8 [3, H, W]. Raises DataError if it does not have its hash."""
        start, stop = self.starts[index : index + 2].tolist()
        raw = bytearray(os.pread(self._file.fileno(), stop - start, start))
        if not self._checked[index] or len(raw) != stop - start:
            if content_digest(raw) != self.contents[index].tobytes().hex():
                raise DataError(f"image {index} in {self.path} was changed", REMEDY)
            self._checked[index] = 1
        pixels = torch.frombuffer(raw, dtype=torch.uint8)
        return pixels.view(*self.shapes[index].tolist(), 3).permute(2, 0, 1)

    def check(self, rows: Iterable[int]) -> None:
        """Raise DataError if one of these images does not have its hash."""
        with reading_threads() as pool:
            for _ in pool.imap_unordered(self.decode, rows, chunksize=8):
                pass

    def check_some(self) -> None:
        """The same for a random sample, or for all if they are small."""
        rows: Iterable[int] = range(len(self))
        if int(self.starts[-1] - self.starts[0]) > CHECKED_WHOLE:
            rows = random.SystemRandom().sample(range(len(self)), min(SAMPLE, len(self)))
        self.check(rows)


def read_pixels(root: Path, spec: DatasetSpec) -> Collection:
    """The images of a prepared folder. Raises DataError if it is damaged or of another data set.

    A random sample of their pixels is compared with its hashes, or all if they are few.
    """
    index = read_index(root, spec)
    border = len(index.tree.train.labels)
    train = _image_set(index, index.tree.train.labels, slice(None, border))
    test = _image_set(index, index.tree.test.labels, slice(border, None))
    return Collection(index.tree.classes, train, test, index.tree.notes, index.tree.decoder)


def _image_set(index: Index, labels: NDArray[np.int64], part: slice) -> ImageSet:
    first = int(3 * index.shapes[: part.start or 0].prod(1).sum())
    images = MappedImages(index.tree.root / PIXELS, index.shapes[part], first, index.contents[part])
    images.check_some()
    return ImageSet(images, labels, index.hashes[part])
