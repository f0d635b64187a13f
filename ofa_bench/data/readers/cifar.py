"""Read torchvision's CIFAR folders with torchvision."""

from __future__ import annotations

import torch

from ofa_bench.data.discovery.datasets import DatasetSpec
from ofa_bench.data.discovery.layout import DataLocation
from ofa_bench.data.readers.image_set import Collection, pixel_set
from ofa_bench.errors import DataError


def read_pickles(spec: DatasetSpec, location: DataLocation) -> Collection:
    """Read train and test. Raises DataError if a file is missing or damaged.

    torchvision compares every file with its published checksum before it unpickles any.
    """
    from torchvision.datasets import CIFAR10, CIFAR100

    reader = CIFAR100 if spec.pickles == CIFAR100.base_folder else CIFAR10
    try:
        parts = [reader(str(location.root), train=part, download=False) for part in (True, False)]
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        raise DataError(
            f"{location.root / spec.pickles} is not the official folder: a file of it is missing, "
            "half-extracted or damaged",
            f"to get it: {spec.get}; re-encoded images go into train/ and test/ with a folder per "
            "class",
        ) from error
    train, test = (pixel_set(torch.from_numpy(part.data), part.targets) for part in parts)
    return Collection(tuple(parts[0].classes), train, test)
