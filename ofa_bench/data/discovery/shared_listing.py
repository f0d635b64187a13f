"""What one process listed or compared, and others of the same machine need not. Torch-free.

On a share, asking for the stamps of a million files takes minutes, and ranks that all ask at once
take longer: the others read a tree from the kept manifest. Of images in big files all ranks read
the kept tables, which takes a second (docs/performance.md).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa_bench.data.discovery.decoder import Decoder
from ofa_bench.data.discovery.manifest_table import Manifest, read_table
from ofa_bench.data.discovery.tree import ImageTree, Listing


@dataclass(frozen=True)
class ListingFacts:
    """What a process needs beside the kept manifest: the folder, the class names, how many training
    and test images each class has, notes and decoder, and the hash of the manifest."""

    root: Path
    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], tuple[int, ...]]
    notes: tuple[str, ...]
    decoder: Decoder | None
    manifest: str

    @classmethod
    def of(cls, tree: ImageTree, rows: Manifest) -> ListingFacts | None:
        """The facts of a listed and hashed tree; None if its images are not in the order of their
        classes."""
        labels = (tree.train.labels, tree.test.labels)
        if any((np.diff(part) < 0).any() for part in labels):
            return None
        train, test = (tuple(np.bincount(part).tolist()) for part in labels)
        facts = (tree.classes, (train, test), tree.notes, tree.decoder)
        return cls(tree.root, *facts, fingerprint(rows))

    def read(self, root: Path, kept: Path) -> tuple[ImageTree, Manifest] | None:
        """The tree and its manifest; None if another one is kept by now, or none."""
        rows = read_table(kept, root) if root == self.root else None
        if rows is None or fingerprint(rows) != self.manifest:
            return None
        train, test = (np.repeat(np.arange(len(part)), part) for part in self.counts)
        if len(train) + len(test) != len(rows):
            return None
        first = Listing(rows.names[: len(train)], train)
        second = Listing(rows.names[len(train) :], test)
        return ImageTree(root, self.classes, first, second, self.notes, self.decoder), rows


@dataclass(frozen=True)
class SampledImages:
    """A data set in big files of which another process of this machine has compared a random sample
    with its hashes: the folder, and the hash of all of them. In compressed parquet files an image
    of the sample costs its row group."""

    root: Path
    hashes: str

    @classmethod
    def of(cls, root: Path, *parts: NDArray[np.uint8]) -> SampledImages:
        """The data set of these hashes."""
        whole = hashlib.blake2b(digest_size=16)
        for part in parts:
            whole.update(np.ascontiguousarray(part).data)
        return cls(root, whole.hexdigest())


SharedFacts = ListingFacts | SampledImages


def fingerprint(rows: Manifest) -> str:
    """The hash of a manifest's names, hashes and shapes."""
    names = rows.names.compact()
    columns: tuple[NDArray[np.generic], ...] = (
        names.bounds,
        names.block,
        rows.digests,
        rows.shapes,
    )
    whole = hashlib.blake2b(digest_size=16)
    for column in columns:
        whole.update(np.ascontiguousarray(column).data)
    return whole.hexdigest()
