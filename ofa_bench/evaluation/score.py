"""Per-image correctness in fp32 with recalibrated, folded batch norm; independent of which other
subnets are scored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, count
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from ofa_bench.data.sources.batch import MicroBatch
from ofa_bench.data.sources.source import BatchSource, HeldOut
from ofa_bench.errors import UsageError
from ofa_bench.evaluation.exact_math import undisturbed
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

    `tell(done, total)` is called after every chunk of images.

    Ranks divide the subnets among them and all return the whole list. The result of one subnet does
    not depend on the others, on their order or on the number of ranks. Raises UsageError if a split
    is empty.
    """
    for split in splits:
        if not source.sizes[split]:
            raise UsageError(
                f"no images to score on: the {split} split is empty",
                "hold images out with data.select",
            )
    mine = range(len(subnets)) if devices is None else share(net, subnets, devices)
    by_resolution: dict[int, list[int]] = {}
    for position in mine:
        by_resolution.setdefault(subnets[position].resolution, []).append(position)
    total = len(by_resolution) * sum(-(-source.sizes[split] // chunk) for split in splits)
    progress = _progress(tell, total)
    results: dict[int, dict[str, NDArray[numpy.bool_]]] = {}
    with undisturbed(net):
        for resolution, positions in by_resolution.items():
            group = [subnets[position] for position in positions]
            hits = _hits(net, group, source, resolution, splits, chunk, progress)
            for row, position in enumerate(positions):
                results[position] = {split: table[row].numpy() for split, table in hits.items()}
    for part in [results] if devices is None else devices.gather(results):
        results |= part
    return [Correctness(subnet, results[position]) for position, subnet in enumerate(subnets)]


def _progress(tell: Callable[[int, int], None] | None, total: int) -> Iterator[None]:
    """Call `tell(done, total)` at each iteration, with `done` counting from 1."""
    for done in count(1):
        if tell is not None:
            tell(done, total)
        yield


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
    """Positions of the subnets that this rank scores: neighbours in the prefix tree stay together,
    and ranks get about equal MACs."""
    positions = PrefixTree(net, subnets).positions()
    costs = [net.space.macs(subnets[position], net.classes) for position in positions]
    total = sum(costs)
    middles = [end - cost / 2 for end, cost in zip(accumulate(costs), costs, strict=True)]
    return [
        position
        for position, middle in zip(positions, middles, strict=True)
        if int(devices.world * middle / total) == devices.rank
    ]


def _hits(
    net: Supernet,
    subnets: Sequence[Subnet],
    source: BatchSource,
    resolution: int,
    splits: Sequence[HeldOut],
    chunk: int,
    progress: Iterator[None],
) -> dict[str, Tensor]:
    """For each split a boolean table [subnets, images]; all subnets are of one resolution."""
    tree = PrefixTree(net, subnets)
    tree.calibrate(source.calibration(resolution))
    hits: dict[str, Tensor] = {}
    for split in splits:
        marks = []
        for batch in source.evaluation(split, resolution, chunk):
            marks.append(_marks(tree, len(subnets), batch))
            next(progress)
        hits[split] = torch.cat(marks, 1).cpu()
    return hits


def _marks(tree: PrefixTree, rows: int, batch: MicroBatch) -> Tensor:
    """Whether each of `rows` subnets gets each image of a chunk right, [rows, images]."""
    truth = batch.labels
    marks = torch.zeros((rows, len(truth)), dtype=torch.bool, device=truth.device)

    def mark(position: int, logits: Tensor) -> None:
        torch.eq(logits.argmax(1), truth, out=marks[position])

    tree.classify(batch.images, mark)
    return marks
