"""Per-image correctness in fp32 with recalibrated, folded batch norm; independent of which other
subnets are scored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Protocol

from ofa_bench.data.sources.source import BatchSource, HeldOut
from ofa_bench.errors import UsageError
from ofa_bench.evaluation.chunks import ScoredChunk, steps, worked
from ofa_bench.evaluation.prefix_tree import PrefixTree
from ofa_bench.nets.protocol import Supernet
from ofa_bench.space import Subnet

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

CHUNK = 250  # images that one pass holds; what a pass needs grows with it and with nothing else


class Ranks(Protocol):
    """The ranks that score together, and how to gather their results."""

    @property
    def rank(self) -> int: ...
    @property
    def world(self) -> int: ...
    def gather(self, value: Any) -> list[Any]: ...


@dataclass(frozen=True)
class Correctness:
    """One subnet's per-image correctness by split, a boolean array in the split's order."""

    subnet: Subnet
    correct: Mapping[str, NDArray[numpy.bool_]]

    def top1(self, split: HeldOut) -> float:
        """Top-1 accuracy in percent."""
        hits = self.correct[split]
        return 100.0 * int(hits.sum()) / len(hits)


class MarkTable:
    """Correctness of subnets, filled in chunk by chunk."""

    def __init__(self, source: BatchSource, splits: Sequence[HeldOut], chunk: int) -> None:
        self._sizes = {split: source.sizes[split] for split in splits}
        self._chunk = chunk
        self.rows: dict[int, dict[str, NDArray[numpy.bool_]]] = {}

    def add(self, scored: ScoredChunk) -> None:
        """Take over the marks of one chunk."""
        import numpy as np

        start = scored.number * self._chunk
        for position, marks in zip(scored.positions, scored.marks, strict=True):
            if position not in self.rows:
                self.rows[position] = {s: np.zeros(n, bool) for s, n in self._sizes.items()}
            self.rows[position][scored.split][start : start + len(marks)] = marks


def score(
    net: Supernet,
    subnets: Sequence[Subnet],
    source: BatchSource,
    *,
    splits: Sequence[HeldOut] = ("select", "test"),
    chunk: int = CHUNK,
    devices: Ranks | None = None,
    tell: Callable[[int, int], None] | None = None,
) -> list[Correctness]:
    """Calibrate and score the subnets, in their order; net and mode stay as they are.

    `tell(done, total)` is called after every batch, with the images passed so far and in all, those
    of calibration included.

    Ranks divide the subnets among them and all return the whole list. The result of one subnet does
    not depend on the others, on their order or on the number of ranks. Raises UsageError if a split
    is empty.
    """
    check_sizes(source, splits)
    mine = range(len(subnets)) if devices is None else share(net, subnets, devices)
    plan = steps(subnets, mine, source, splits, chunk, {})
    table = MarkTable(source, splits, chunk)
    done, total = 0, sum(step.images for step in plan)
    with closing(worked(net, subnets, mine, source, plan, chunk)) as work:
        for step, scored in zip(plan, work, strict=True):
            if scored is not None:
                table.add(scored)
            done += step.images
            if tell is not None:
                tell(done, total)
    results = table.rows
    for part in [results] if devices is None else devices.gather(results):
        results |= part
    return listed(subnets, results)


def listed(
    subnets: Sequence[Subnet], rows: Mapping[int, Mapping[str, NDArray[numpy.bool_]]]
) -> list[Correctness]:
    """The results in the order of the subnets."""
    return [Correctness(subnet, rows[position]) for position, subnet in enumerate(subnets)]


def check_sizes(source: BatchSource, splits: Iterable[HeldOut]) -> None:
    """Raise UsageError if there are no images to score on."""
    for split in splits:
        if not source.sizes[split]:
            raise UsageError(
                f"no images to score on: the {split} split is empty",
                "hold images out with data.select",
            )


def top1(
    net: Supernet,
    subnets: Sequence[Subnet],
    source: BatchSource,
    split: HeldOut,
    devices: Ranks | None = None,
    *,
    chunk: int = CHUNK,
) -> list[float]:
    """Top-1 accuracies in percent, in the order of the subnets."""
    scored = score(net, subnets, source, splits=(split,), chunk=chunk, devices=devices)
    return [result.top1(split) for result in scored]


def share(net: Supernet, subnets: Sequence[Subnet], devices: Ranks) -> list[int]:
    """Positions of the subnets that this rank scores, see `shares`."""
    return shares(net, subnets, devices.world)[devices.rank]


def shares(net: Supernet, subnets: Sequence[Subnet], world: int) -> list[list[int]]:
    """Positions of the subnets that each of `world` ranks scores: neighbours in the prefix tree
    stay together, and ranks get about equal MACs."""
    positions = PrefixTree(net, subnets).positions()
    costs = [net.space.macs(subnets[position], net.classes) for position in positions]
    total = sum(costs)
    parts: list[list[int]] = [[] for _ in range(world)]
    for position, end, cost in zip(positions, accumulate(costs), costs, strict=True):
        parts[int(world * (end - cost / 2) / total)].append(position)
    return parts
