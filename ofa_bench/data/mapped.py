"""Images in one file of pixels, which any worker maps instead of decoding."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ofa_bench.data.collection import Collection, ImageSet
from ofa_bench.data.datasets import DatasetSpec
from ofa_bench.data.pixels import PIXELS, read_index

if TYPE_CHECKING:
    from numpy.typing import NDArray


class MappedImages:
    """Images in a file of pixels; the file is mapped when the first of them is read."""

    def __init__(self, path: Path, shapes: NDArray[np.int64], first: int) -> None:
        """`shapes` are heights and widths, int64 [n, 2]; `first`: the byte they begin at."""
        self.path = path
        self.shapes = shapes
        self.starts = first + np.concatenate([[0], np.cumsum(3 * shapes.prod(1))])
        sides = np.unique(shapes)
        self.side: int | None = int(sides[0]) if len(sides) == 1 else None

    def __len__(self) -> int:
        return len(self.shapes)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_bytes"}

    @cached_property
    def _bytes(self) -> NDArray[np.uint8]:
        return np.memmap(self.path, dtype=np.uint8, mode="r")

    def decode(self, index: int) -> Tensor:
        """One image, uint8 [3, H, W]."""
        start, stop = self.starts[index : index + 2]
        image = np.array(self._bytes[start:stop]).reshape(*self.shapes[index], 3)
        return torch.from_numpy(image).permute(2, 0, 1)

    @property
    def pixels(self) -> Tensor:
        """All of them, where they are of one size."""
        assert self.side is not None, "only images of one size fit into one tensor"
        whole = np.array(self._bytes[self.starts[0] : self.starts[-1]])
        return torch.from_numpy(whole.reshape(len(self), self.side, self.side, 3))


def read_pixels(root: Path, spec: DatasetSpec) -> Collection:
    """The images of a folder that was prepared; DataError where it is damaged or another set's."""
    tree, shapes, hashes = read_index(root, spec)
    digests = tuple(bytes(row).hex() for row in hashes)
    border = len(tree.train.labels)
    images = [
        MappedImages(root / PIXELS, shapes[:border], 0),
        MappedImages(root / PIXELS, shapes[border:], int(3 * shapes[:border].prod(1).sum())),
    ]
    train, test = (
        ImageSet(each, listing.labels, found)
        for each, listing, found in zip(
            images, (tree.train, tree.test), (digests[:border], digests[border:]), strict=True
        )
    )
    return Collection(tree.classes, train, test, tree.notes, tree.decoder)
