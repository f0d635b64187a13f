"""The fixed hold-out: stratified by class, determined by image content. Torch-free.

File names and order do not matter: images are identified by the hash of their bytes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from ofa_bench.data.discovery.datasets import SPLIT_SEED
from ofa_bench.seeding import digest, rng


def hold_out(
    labels: Sequence[int], digests: Sequence[str], count: int, salt: str
) -> tuple[list[int], list[int]]:
    """Indices kept and indices held out, both ascending.

    Every class gives its share of `count` (largest remainders) and keeps at least one image.
    Images with equal bytes move together, so where they cannot fill a share exactly, fewer than
    `count` are held out.
    """
    open_places = _quotas(Counter(labels), count)
    held: set[int] = set()
    for group in _shuffled_groups(digests, salt):
        needs = Counter(labels[index] for index in group)
        if all(open_places[label] >= wanted for label, wanted in needs.items()):
            open_places.subtract(needs)
            held.update(group)
    return [i for i in range(len(labels)) if i not in held], sorted(held)


def content_hash(labels: Sequence[int], digests: Sequence[str]) -> str:
    """The hex hash of a split: of its images' bytes and labels in order, without names."""
    return digest(*(part for pair in zip(labels, digests, strict=True) for part in pair))


def _quotas(sizes: Counter[int], count: int) -> Counter[int]:
    total = sizes.total()
    exact = {label: count * size / total for label, size in sorted(sizes.items())}
    quota = Counter({label: int(share) for label, share in exact.items()})
    by_remainder = sorted(exact, key=lambda label: (quota[label] - exact[label], label))
    for label in by_remainder[: count - quota.total()]:
        quota[label] += 1
    return Counter({label: min(places, sizes[label] - 1) for label, places in quota.items()})


def _shuffled_groups(digests: Sequence[str], salt: str) -> list[list[int]]:
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for index, content in enumerate(digests):
        groups[content].append(index)
    order = sorted(groups)
    rng("hold-out", SPLIT_SEED, salt).shuffle(order)
    return [groups[content] for content in order]
