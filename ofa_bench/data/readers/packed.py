"""Images in tar shards and parquet files, read by index."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ofa_bench.atomic_io import open_regular
from ofa_bench.data.discovery.datasets import DatasetSpec
from ofa_bench.data.discovery.decoder import reading, reading_threads
from ofa_bench.data.discovery.file_hashes import Progress, check_bytes
from ofa_bench.data.discovery.layout import DataLocation
from ofa_bench.data.discovery.packed.listing import PackedPart, list_packed, sampled
from ofa_bench.data.discovery.packed.parquet import columns_of, group_images, opened_parquet
from ofa_bench.data.discovery.shared_listing import SampledImages
from ofa_bench.data.readers.image_set import Collection, ImageSet
from ofa_bench.data.readers.images import EncodedImages
from ofa_bench.limits import limit

OPEN_FILES = 64  # of one process, for one split


class PackedImages(EncodedImages):
    """Images of one split in big files; their bytes are compared with recorded hashes.

    Files are opened by the process that reads them, when it first does, and the last ones stay
    open. Images of compressed columns are taken from decoded row groups, of which the last ones
    stay in memory.
    """

    def __init__(self, part: PackedPart, spec: DatasetSpec, side: int | None) -> None:
        self.part, self.spec, self.side = part, spec, side
        self.digests = part.samples.hashes
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._files: OrderedDict[int, _Handle] = OrderedDict()
        self._groups: OrderedDict[tuple[int, int], tuple[Any, int]] = OrderedDict()
        self._process = os.getpid()  # last: other threads go by it

    def __len__(self) -> int:
        return len(self.part)

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("part", "spec", "side", "digests")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def name(self, index: int) -> Path:
        return Path(self.part.name(index))

    def size(self, index: int) -> int:
        return int(self.part.samples.spans[index, 1])

    def raw(self, index: int) -> bytes:
        source = int(self.part.sources[index])
        first, size = self.part.samples.spans[index].tolist()
        if first >= 0:
            with reading(self.part.files[source], "check that the file is there"):
                handle = self._handle(source)  # held, or another thread's eviction closes it
                raw = os.pread(handle.number, size, first)
        else:
            group, row = self.part.samples.rows[index].tolist()
            raw = self._row(source, group, row)
        check_bytes(raw, self.digests[index].tobytes(), self.name(index))
        return raw

    def _handle(self, source: int) -> _Handle:
        if self._process != os.getpid():
            self._reset()
        with self._lock:
            files = self._files
            handle = files.get(source) or _Handle(self.part.files[source])
            files[source] = handle
            files.move_to_end(source)
            while len(files) > OPEN_FILES:
                files.popitem(last=False)
        return handle

    def _row(self, source: int, group: int, row: int) -> bytes:
        if self._process != os.getpid():
            self._reset()
        with self._lock:
            groups = self._groups
            kept = groups.get((source, group))
            if kept is None:
                path = self.part.files[source]
                with opened_parquet(path) as file:
                    images = group_images(file, group, columns_of(path, file, self.spec))
                kept = images, images.nbytes
                groups[source, group] = kept
            groups.move_to_end((source, group))
            while sum(size for _, size in groups.values()) > limit("parquet-group"):
                groups.popitem(last=False)
        images = kept[0]
        raw = images[row].as_py() if row < len(images) else None
        return raw or b""

    def check(self, rows: Iterable[int]) -> None:
        """Raise DataError if one of these images does not have its hash."""
        with reading_threads() as pool:
            for _ in pool.imap_unordered(self.raw, rows, chunksize=8):
                pass


class _Handle:
    """An open file, closed when nobody reads it any more."""

    def __init__(self, path: Path) -> None:
        self._file = open_regular(path)
        self.number = self._file.fileno()

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()


def read_packed(
    location: DataLocation,
    spec: DatasetSpec,
    progress: Progress | None = None,
    known: SampledImages | None = None,
) -> tuple[Collection, SampledImages]:
    """The images of shards or parquet files, listed and hashed.

    A random sample is compared with its hashes, unless these are `known`. Raises DataError if a
    file is damaged, or one of its images would not be decoded.
    """
    packed = list_packed(location, spec, progress)
    hashes = (packed.train.samples.hashes, packed.test.samples.hashes)
    facts = SampledImages.of(location.root, *hashes)
    train, test = (_image_set(part, spec, facts != known) for part in (packed.train, packed.test))
    return Collection(packed.classes, train, test, packed.notes, packed.decoder), facts


def _image_set(part: PackedPart, spec: DatasetSpec, compare: bool) -> ImageSet:
    samples = part.samples
    images = PackedImages(part, spec, None)
    images.check(sampled(part) if compare else ())
    counts = samples.shapes.prod(1)
    for index in np.flatnonzero((counts <= 0) | (counts > limit("image-pixels"))).tolist():
        height, width = images.decode(index).shape[1:]
        samples.shapes[index] = width, height
    sides = np.unique(samples.shapes)
    images.side = int(sides[0]) if len(sides) == 1 else None
    return ImageSet(images, samples.labels, samples.hashes)
