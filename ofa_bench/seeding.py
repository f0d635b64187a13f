"""Randomness by address: a random number depends on where it is used, never on history."""

from __future__ import annotations

import hashlib
import random


def digest(*parts: object) -> str:
    """Hex SHA-256 of the parts' representations, unambiguously joined."""
    return hashlib.sha256(_joined(parts)).hexdigest()


def key(*parts: str | int | float) -> int:
    """A 63-bit seed addressed by the parts (blake2b, the same on every machine and run)."""
    raw = hashlib.blake2b(_joined(parts), digest_size=8).digest()
    return int.from_bytes(raw, "little") >> 1


def rng(*parts: str | int | float) -> random.Random:
    """A generator addressed by the parts."""
    return random.Random(key(*parts))


def _joined(parts: tuple[object, ...]) -> bytes:
    return "\x1f".join(repr(part) for part in parts).encode()
