"""Images by index, whether they lie in memory or in files, and one file's pixels."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Sequence
from functools import cached_property
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from ofa_bench.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Images(Protocol):
    """A list of RGB images; `side` is their common height and width, None where they differ."""

    side: int | None

    def __len__(self) -> int: ...

    def decode(self, index: int) -> Tensor:
        """One image, uint8 [3, H, W]; DataError names a file that cannot be decoded."""

    @property
    def pixels(self) -> Tensor:
        """All of them, uint8 [n, side, side, 3]."""


class PixelImages:
    """Square images that are already decoded, uint8 [n, side, side, 3]."""

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels
        self.side: int | None = pixels.shape[1]

    def __len__(self) -> int:
        return len(self.pixels)

    def decode(self, index: int) -> Tensor:
        return self.pixels[index].permute(2, 0, 1)


class FileImages:
    """Images in files below a root."""

    def __init__(self, root: Path, paths: Sequence[str], side: int | None) -> None:
        self.root = root
        # One flat array: a list of a million strings would be copied into every worker, page by
        # page, as its reference counts are touched.
        self.paths: NDArray[np.bytes_] = np.array([os.fsencode(path) for path in paths], dtype="S")
        self.side = side

    def __len__(self) -> int:
        return len(self.paths)

    def path(self, index: int) -> Path:
        """Where an image lies."""
        return self.root / os.fsdecode(self.paths[index])

    def decode(self, index: int) -> Tensor:
        return read_image(self.path(index))

    @cached_property
    def pixels(self) -> Tensor:
        """All images, decoded once and kept."""
        assert self.side is not None, "only images of one size fit into one tensor"
        whole = torch.empty((len(self), self.side, self.side, 3), dtype=torch.uint8)

        def fill(index: int) -> None:
            whole[index] = self.decode(index).permute(1, 2, 0)

        with ThreadPool(min(8, os.cpu_count() or 1)) as pool:
            for _ in pool.imap_unordered(fill, range(len(self)), chunksize=64):
                pass
        return whole


def read_image(path: Path) -> Tensor:
    """A file's pixels as RGB, uint8 [3, H, W]; DataError names a file that cannot be decoded."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror or error}", "check that the file is there"
        ) from error
    return decode_image(raw, path)


def decode_image(raw: bytes, path: Path) -> Tensor:
    """As `read_image`, from bytes: torchvision's decoders, Pillow for modes they do not know."""
    from torchvision.io import ImageReadMode
    from torchvision.io import decode_image as decode

    try:
        pixels = decode(torch.frombuffer(bytearray(raw), dtype=torch.uint8), ImageReadMode.RGB)
    except (RuntimeError, ValueError):
        return _decode_with_pillow(raw, path)
    usual = pixels.ndim == 3 and pixels.shape[0] == 3 and pixels.dtype == torch.uint8
    return pixels if usual else _decode_with_pillow(raw, path)


def _decode_with_pillow(raw: bytes, path: Path) -> Tensor:
    from PIL import Image

    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(raw)) as image:
            warnings.simplefilter("ignore")
            array = np.asarray(image)
            deep = array.dtype.kind in "iuf" and array.dtype.itemsize > 1
            usual = Image.fromarray(_eight_bits(array)) if deep else image
            return torch.from_numpy(np.array(usual.convert("RGB"))).permute(2, 0, 1)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(
            f"{path} cannot be decoded: it is corrupt, truncated, or no image",
            "replace or remove the file; `ofa-bench data check` finds all such files",
        ) from error


def _eight_bits(grey: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Deep grey values scaled to eight bits; white is 65,535, or the largest of floats."""
    white = 65535.0 if grey.dtype.kind in "iu" else max(float(np.max(grey)), 1.0)
    return np.clip(grey.astype(np.float64) * (255 / white), 0, 255).astype(np.uint8)
