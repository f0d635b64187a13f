"""scikit-learn's handwritten digits: the embedded data set."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from ofa_bench.data.discovery.datasets import DatasetSpec
from ofa_bench.data.discovery.splits import hold_out
from ofa_bench.data.readers.image_set import Collection, ImageSet
from ofa_bench.data.readers.images import PixelImages
from ofa_bench.errors import DataError


def read_digits(spec: DatasetSpec) -> Collection:
    """All digits as RGB with equal channels; a fixed, stratified part of them is test."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError("the digits come with scikit-learn, which is not here", spec.get) from error
    bunch = load_digits()
    grey = (torch.from_numpy(bunch.images) * (255 / 16)).round().to(torch.uint8)
    pixels = grey.unsqueeze(-1).expand(-1, -1, -1, 3).contiguous()
    labels = [int(label) for label in bunch.target]
    digests = pixel_digests(pixels)
    train, test = hold_out(labels, digests, spec.test or 0, "digits/test")

    def part(rows: list[int]) -> ImageSet:
        return ImageSet(
            PixelImages(pixels[rows]),
            tuple(labels[row] for row in rows),
            tuple(digests[row] for row in rows),
        )

    return Collection(tuple(str(name) for name in bunch.target_names), part(train), part(test))


def pixel_digests(pixels: Tensor) -> list[str]:
    """The hex hash of every image of a uint8 tensor [n, H, W, 3]."""
    rows = pixels.reshape(len(pixels), -1).numpy()
    return [hashlib.blake2b(row.tobytes(), digest_size=16).hexdigest() for row in rows]
