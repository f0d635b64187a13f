"""Held-out images are decoded before the first step: a broken one would be met after the last."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ofa_bench.atomic_io import write_whole
from ofa_bench.data.discovery.decoder import Decoder, read_bytes
from ofa_bench.data.discovery.file_hashes import Progress
from ofa_bench.data.discovery.threads import reading_threads
from ofa_bench.data.readers.image_set import ImageSplit
from ofa_bench.data.readers.images import FileImages
from ofa_bench.errors import BenchError, DataError

KEPT = "decoded.txt"


class HeldOutImages:
    """The select and test images of a cut."""

    def __init__(
        self, splits: Mapping[str, ImageSplit], decoder: Decoder | None, kept: Path | None = None
    ) -> None:
        self._splits = [splits[name] for name in ("select", "test")]
        self._decoder, self._kept = decoder, kept

    def check(self, progress: Progress | None = None) -> None:
        """Decode every one that is not known to decode; DataError names the first that does not.

        What was decoded is remembered by content, so the next run need not do it again.
        """
        images = {
            split.whole.digests[row]: (split.whole.images, row)
            for split in self._splits
            for row in split.rows
            if isinstance(split.whole.images, FileImages)
        }
        known = KnownGood(self._kept, self._decoder)
        pending = [item for item in images.items() if item[0] not in known]

        def trial(item: tuple[str, tuple[FileImages, int]]) -> str:
            digest, (files, row) = item
            files.decode(row)
            return digest

        with known, reading_threads() as pool:
            for done, digest in enumerate(pool.imap(trial, pending, chunksize=8), start=1):
                known.add(digest)
                if progress:
                    progress(done, len(pending))


class KnownGood:
    """Hashes of images that a decoder has decoded, kept in a file beside the manifest.

    A context manager: what was added is written at its end, however it ends. It saves time only:
    an image that is wrongly on the list is met when it is read.
    """

    def __init__(self, path: Path | None, decoder: Decoder | None) -> None:
        self._path, self._title = path, repr(tuple(decoder or ()))
        self._digests = self._load()
        self._added = False

    def __contains__(self, digest: str) -> bool:
        return digest in self._digests

    def add(self, digest: str) -> None:
        """Remember an image."""
        self._digests.add(digest)
        self._added = True

    def __enter__(self) -> KnownGood:
        return self

    def __exit__(self, *failure: object) -> None:
        if self._path is None or not self._added:
            return
        try:
            write_whole(self._path, "\n".join([self._title, *sorted(self._digests)]) + "\n")
        except BenchError:
            return  # a cache that cannot be written only costs time

    def _load(self) -> set[str]:
        if self._path is None:
            return set()
        try:
            title, *digests = read_bytes(self._path).decode("ascii").splitlines() or [""]
        except (DataError, ValueError):
            return set()
        return set(digests) if title == self._title else set()
