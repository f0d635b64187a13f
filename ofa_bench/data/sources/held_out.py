"""Check that images decode, and keep which do."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ofa_bench.atomic_io import write_whole
from ofa_bench.data.discovery.decoder import Decoder, read_bytes, reading_threads
from ofa_bench.data.discovery.file_hashes import Progress
from ofa_bench.data.readers.image_set import ImageSplit
from ofa_bench.data.readers.images import FileImages
from ofa_bench.errors import BenchError, DataError

KEPT = "decoded.txt"


def check_decoding(
    splits: Sequence[ImageSplit],
    decoder: Decoder | None,
    kept: Path | None,
    progress: Progress | None,
) -> None:
    """Decode all images not known to decode. Raises DataError for the first that fails.

    Decoded images are cached by content in the file `kept`, so that the next run skips them.
    """
    images = {
        split.whole.digests[row]: (split.whole.images, row)
        for split in splits
        for row in split.rows
        if isinstance(split.whole.images, FileImages)
    }
    known = KnownGood(kept, decoder)
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
    """Hashes of images that a decoder has decoded, cached in a file beside the file hashes.

    A context manager that writes additions at its end, also on an exception. It only saves time: a
    wrong entry leads to an error when the image is read.
    """

    def __init__(self, path: Path | None, decoder: Decoder | None) -> None:
        self._path, self._title = path, repr(tuple(decoder or ()))
        self._digests = self._load()
        self._added = False

    def __contains__(self, digest: str) -> bool:
        return digest in self._digests

    def add(self, digest: str) -> None:
        self._digests.add(digest)
        self._added = True

    def __enter__(self) -> KnownGood:
        return self

    def __exit__(self, *failure: object) -> None:
        if self._path is not None and self._added:
            with suppress(BenchError):  # a cache that cannot be written only costs time
                write_whole(self._path, "\n".join([self._title, *sorted(self._digests)]) + "\n")

    def _load(self) -> set[str]:
        if self._path is None:
            return set()
        try:
            title, *digests = read_bytes(self._path).decode("ascii").splitlines() or [""]
        except (DataError, ValueError):
            return set()
        return set(digests) if title == self._title else set()
