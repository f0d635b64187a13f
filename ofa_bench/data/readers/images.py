"""Images by index, in memory or in files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ofa_bench.data.discovery.decoder import decode, read_bytes, reading_threads
from ofa_bench.data.discovery.file_hashes import check_bytes
from ofa_bench.data.discovery.file_names import FileNames


class Images(ABC):
    """A list of RGB images; `side`: their common height and width, None if they differ."""

    side: int | None

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def decode(self, index: int) -> Tensor:
        """One image, uint8 [3, H, W]. Raises DataError if it cannot be decoded."""

    @cached_property
    def pixels(self) -> Tensor:
        """All of them, uint8 [n, side, side, 3], decoded once and kept."""
        assert self.side is not None, "only images of one size fit into one tensor"
        whole = torch.empty((len(self), self.side, self.side, 3), dtype=torch.uint8)

        def fill(index: int) -> None:
            whole[index] = self.decode(index).permute(1, 2, 0)

        with reading_threads() as pool:
            for _ in pool.imap_unordered(fill, range(len(self)), chunksize=64):
                pass
        return whole


class PixelImages(Images):
    """Decoded square images in memory, uint8 [n, side, side, 3]."""

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels
        self.side = pixels.shape[1]

    def __len__(self) -> int:
        return len(self.pixels)

    def decode(self, index: int) -> Tensor:
        return self.pixels[index].permute(2, 0, 1)


class EncodedImages(Images):
    """Images that are kept as bytes of a format such as JPEG, and decoded when they are read.

    `digests`: the hashes of those bytes, uint8 [n, 16].
    """

    digests: NDArray[np.uint8]

    @abstractmethod
    def name(self, index: int) -> Path:
        """Where an image is, for messages."""

    @abstractmethod
    def raw(self, index: int) -> bytes:
        """The bytes of an image. Raises DataError if they do not have the recorded hash."""

    @abstractmethod
    def size(self, index: int) -> int:
        """The number of those bytes."""

    def decode(self, index: int) -> Tensor:
        pixels = decode(self.raw(index), self.name(index))
        return torch.from_numpy(pixels).permute(2, 0, 1)


class FileImages(EncodedImages):
    """Images in files below a root; their bytes are compared with recorded hashes."""

    def __init__(
        self, root: Path, paths: FileNames, side: int | None, digests: NDArray[np.uint8]
    ) -> None:
        """`paths` are relative to the root; `digests`: uint8 [n, 16]."""
        self.root, self.paths, self.digests, self.side = root, paths, digests, side

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> Path:
        return self.root / self.paths[index]

    def size(self, index: int) -> int:
        return self.name(index).stat().st_size

    def raw(self, index: int) -> bytes:
        path = self.name(index)
        raw = read_bytes(path)
        check_bytes(raw, self.digests[index].tobytes(), path)
        return raw


def read_image(path: Path, digest: bytes | None = None) -> Tensor:
    """A file's pixels as RGB, uint8 [3, H, W]. Raises DataError if it cannot be decoded, or its
    bytes do not have the recorded hash."""
    raw = read_bytes(path)
    if digest is not None:
        check_bytes(raw, digest, path)
    return torch.from_numpy(decode(raw, path)).permute(2, 0, 1)
