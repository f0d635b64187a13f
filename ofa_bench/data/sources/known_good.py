"""Which images are known to decode."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ofa_bench.atomic_io import write_whole
from ofa_bench.data.discovery.decoder import Decoder, read_bytes
from ofa_bench.errors import BenchError, DataError

KEPT = "decoded.txt"


class KnownGood(set[str]):
    """Hashes of images that a decoder has decoded, cached in a file beside the file hashes.

    A context manager that writes additions at its end, also on an exception. It only saves time: a
    wrong entry leads to an error when the image is read.
    """

    def __init__(self, path: Path | None, decoder: Decoder | None) -> None:
        super().__init__()
        self._path, self._title = path, repr(tuple(decoder or ()))
        if path is not None:
            with suppress(DataError, ValueError):
                title, *digests = read_bytes(path).decode("ascii").splitlines() or [""]
                self.update(digests if title == self._title else ())
        self._kept = len(self)

    def __enter__(self) -> KnownGood:
        return self

    def __exit__(self, *failure: object) -> None:
        if self._path is not None and len(self) > self._kept:
            with suppress(BenchError):  # a cache that cannot be written only costs time
                write_whole(self._path, "\n".join([self._title, *sorted(self)]) + "\n")
