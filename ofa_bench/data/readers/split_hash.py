"""Hashes of splits and groups of equal images, over arrays of labels and hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

AT_ONCE = 1 << 16  # images
SEPARATOR = 0x1F
QUOTE = ord("'")
HEX = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)


def content_hash(labels: NDArray[np.int64], digests: NDArray[np.uint8]) -> str:
    """The hex hash of a split: of its images' bytes and labels in order, without names.

    It is `seeding.digest(label, hash, label, hash, …)` with the hashes as text, which is how
    committed records have it; joined here for many images at once. `labels`: int64 [n], 0 or more;
    `digests`: uint8 [n, 16].
    """
    whole = hashlib.sha256()
    for start in range(0, len(labels), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        raw = _joined(labels[part], digests[part])
        whole.update(raw[0 if start else 1 :])  # no separator before the first
    return whole.hexdigest()


def _joined(labels: NDArray[np.int64], digests: NDArray[np.uint8]) -> bytes:
    """Label and quoted hash of every image, each after a separator."""
    most = len(str(int(labels.max())))
    powers = 10 ** np.arange(most - 1, -1, -1)
    digits = labels[:, None] // powers % 10 + ord("0")
    rows = np.empty((len(labels), 1 + most + 2 + 32 + 1), dtype=np.uint8)
    rows[:, 0] = rows[:, 1 + most] = SEPARATOR
    rows[:, 1 : 1 + most] = digits
    rows[:, 2 + most] = rows[:, -1] = QUOTE
    rows[:, 3 + most : -1 : 2] = HEX[digests >> 4]
    rows[:, 4 + most : -1 : 2] = HEX[digests & 15]
    shown = np.ones(rows.shape, dtype=bool)
    shown[:, 1:most] = labels[:, None] >= powers[:-1]  # no leading zeros
    return rows[shown].tobytes()


def order_of(digests: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The images in the order of their hashes, int64 [n], equal ones in that of their rows; and
    where each group of equal images begins in it, int64 [groups + 1]."""
    upper, lower = _halves(digests)
    order = np.lexsort((lower, upper))
    upper, lower = upper[order], lower[order]
    new = (upper[1:] != upper[:-1]) | (lower[1:] != lower[:-1])
    return order, np.concatenate([[0], np.flatnonzero(new) + 1, [len(order)]])


def members(digests: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of the hashes are among others, bool [n]; quick where they are fewer."""
    ours = _halves(digests)
    uppers = np.unique(ours[0])
    pairs: set[tuple[int, int]] = set()
    for start in range(0, len(others) if len(uppers) else 0, AT_ONCE):
        upper, lower = _halves(others[start : start + AT_ONCE])
        near = uppers[np.searchsorted(uppers, upper).clip(max=len(uppers) - 1)] == upper
        pairs.update(_pairs(upper[near], lower[near]))
    return np.fromiter((pair in pairs for pair in _pairs(*ours)), dtype=bool, count=len(digests))


def _halves(digests: NDArray[np.uint8]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Hashes as two numbers, which are ordered as their bytes are, uint64 [n] each."""
    numbers = np.ascontiguousarray(digests).view(">u8").astype(np.uint64)
    return numbers[:, 0], numbers[:, 1]


def _pairs(upper: NDArray[np.uint64], lower: NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
    return zip(upper.tolist(), lower.tolist(), strict=True)
