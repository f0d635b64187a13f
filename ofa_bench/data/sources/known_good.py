"""Which images are known to decode."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa_bench.atomic_io import open_regular, write_whole
from ofa_bench.data.discovery.decoder import Decoder
from ofa_bench.data.readers.split_hash import members
from ofa_bench.errors import BenchError

KEPT = "decoded.bin"
WIDTH = 16  # bytes of a hash


class KnownGood:
    """Hashes of images that a decoder has decoded, cached in a file beside the file hashes.

    The file has a line that names the decoder, and then the hashes. A context manager that writes
    additions at its end, also on an exception. It only saves time: a wrong entry leads to an error
    when the image is read.
    """

    def __init__(self, path: Path | None, decoder: Decoder | None) -> None:
        self._path, self._title = path, repr(tuple(decoder or ())).encode() + b"\n"
        self._known = np.zeros((0, WIDTH), dtype=np.uint8)
        self._added: list[bytes] = []
        if path is not None:
            with suppress(OSError), open_regular(path) as file:
                if file.readline(1 << 12) == self._title:
                    raw = np.frombuffer(file.read(), dtype=np.uint8)
                    whole = len(raw) // WIDTH * WIDTH
                    self._known = raw[:whole].reshape(-1, WIDTH)

    def has(self, digests: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which of these hashes, uint8 [n, 16], were known at the beginning: bool [n]."""
        return members(digests, self._known)

    def add(self, digest: bytes) -> None:
        """Note the hash of an image that was decoded."""
        self._added.append(digest)

    def __enter__(self) -> KnownGood:
        return self

    def __exit__(self, *failure: object) -> None:
        added = np.frombuffer(b"".join(self._added), dtype=np.uint8).reshape(-1, WIDTH)
        fresh = added[~self.has(added)]
        if self._path is not None and len(fresh):
            with suppress(BenchError):  # a cache that cannot be written only costs time
                write_whole(self._path, self._title + self._known.tobytes() + fresh.tobytes())
