"""scikit-learn's handwritten digits: the embedded data set."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ofa_bench.data.discovery.datasets import DatasetSpec
from ofa_bench.data.readers.image_set import Collection, hold_out, pixel_set
from ofa_bench.errors import DataError

FILE = "datasets/data/digits.csv.gz"  # in scikit-learn: 64 grey values from 0 to 16, then the label


def read_digits(spec: DatasetSpec) -> Collection:
    """All digits as RGB with equal channels; a fixed, stratified part of them is test."""
    table = torch.from_numpy(_table(spec))
    grey = (table[:, :-1].reshape(-1, 8, 8) * (255 / 16)).round().to(torch.uint8)
    pixels = grey.unsqueeze(-1).expand(-1, -1, -1, 3).contiguous()
    labels = table[:, -1].to(torch.int64).numpy()
    digests = pixel_set(pixels, labels).digests
    kept, held = hold_out(labels, digests, spec.test or 0, "digits/test")
    train, test = (pixel_set(pixels[rows], labels[rows]) for rows in (kept, held))
    return Collection(tuple(str(digit) for digit in range(10)), train, test)


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
