"""scikit-learn's handwritten digits: the embedded data set."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ofa_bench.data.discovery.datasets import DatasetSpec
from ofa_bench.data.discovery.file_hashes import content_digest
from ofa_bench.data.readers.image_set import Collection, ImageSet, hold_out
from ofa_bench.data.readers.images import PixelImages
from ofa_bench.errors import DataError

FILE = "datasets/data/digits.csv.gz"  # in scikit-learn: 64 grey values from 0 to 16, then the label


def read_digits(spec: DatasetSpec) -> Collection:
    """All digits as RGB with equal channels; a fixed, stratified part of them is test."""
    table = torch.from_numpy(_table(spec))
    grey = (table[:, :-1].reshape(-1, 8, 8) * (255 / 16)).round().to(torch.uint8)
    pixels = grey.unsqueeze(-1).expand(-1, -1, -1, 3).contiguous()
    labels = [int(label) for label in table[:, -1]]
    digests = pixel_digests(pixels)
    train, test = hold_out(labels, digests, spec.test or 0, "digits/test")

    def part(rows: list[int]) -> ImageSet:
        return ImageSet(
            PixelImages(pixels[rows]),
            tuple(labels[row] for row in rows),
            tuple(digests[row] for row in rows),
        )

    return Collection(tuple(str(digit) for digit in range(10)), part(train), part(test))


def _table(spec: DatasetSpec) -> NDArray[np.float64]:
    """One digit a row. The file is read directly, since importing scikit-learn takes 0.7 s; should
    it ever move, scikit-learn is asked."""
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError("the digits come with scikit-learn, which is not here", spec.get)
    path = Path(package.origin).parent / FILE
    if path.is_file():
        return np.loadtxt(path, delimiter=",")
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.column_stack([digits.data, digits.target])


def pixel_digests(pixels: Tensor) -> list[str]:
    """The hex hash of every image of a uint8 tensor [n, H, W, 3]."""
    rows = pixels.reshape(len(pixels), -1).numpy()
    return [content_digest(row.tobytes()) for row in rows]
