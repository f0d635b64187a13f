"""The final scores in chunks of images: what one rank has to do, and doing it chunk by chunk."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ofa_bench.data.sources.batch import MicroBatch
from ofa_bench.data.sources.source import CALIBRATION_BATCH, BatchSource, HeldOut
from ofa_bench.evaluation.exact_math import undisturbed
from ofa_bench.evaluation.prefix_tree import PrefixTree
from ofa_bench.nets.protocol import Supernet
from ofa_bench.space import Subnet

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

PASS_PIXELS = {"cuda": 250 * 112**2}
"""Pixels that a device scores at once, in whole chunks: a GPU takes 12 chunks of 250 images at
32×32, which one by one leave it waiting for launches. Others, as a CPU, take each chunk alone."""


class EvaluationStep(NamedTuple):
    """A batch of images to calibrate on (`split` is None), or a chunk of a split to score."""

    resolution: int
    split: HeldOut | None
    number: int
    images: int


@dataclass(frozen=True)
class ScoredChunk:
    """Whether subnets get the images of one chunk right; `marks` is boolean, [subnets, images]."""

    resolution: int
    split: HeldOut
    number: int
    positions: tuple[int, ...]
    marks: NDArray[numpy.bool_]


Known = Mapping[tuple[HeldOut, int], Collection[int]]
"""The chunks, by split and number, with the positions of the subnets that are scored on them."""


def steps(
    subnets: Sequence[Subnet],
    positions: Sequence[int],
    source: BatchSource,
    splits: Sequence[HeldOut],
    chunk: int,
    known: Known,
) -> list[EvaluationStep]:
    """What remains to be done for the subnets at these positions, by resolution: calibration, then
    the chunks that some of them are not scored on. Nothing where all are known."""
    plan: list[EvaluationStep] = []
    for resolution, group in by_resolution(subnets, positions).items():
        missing = [
            EvaluationStep(resolution, split, number, size)
            for split in splits
            for number, size in enumerate(_sizes(source.sizes[split], chunk))
            if not set(group) <= set(known.get((split, number), ()))
        ]
        if missing:
            sizes = _sizes(source.calibration_images, CALIBRATION_BATCH)
            plan += [
                EvaluationStep(resolution, None, number, size) for number, size in enumerate(sizes)
            ]
            plan += missing
    return plan


def _sizes(count: int, chunk: int) -> list[int]:
    """The sizes of the chunks that so many images make."""
    return [min(chunk, count - start) for start in range(0, count, chunk)]


def by_resolution(subnets: Sequence[Subnet], positions: Sequence[int]) -> dict[int, list[int]]:
    """The positions of the subnets of each resolution, in the order in which they come."""
    groups: dict[int, list[int]] = {}
    for position in positions:
        groups.setdefault(subnets[position].resolution, []).append(position)
    return groups


def worked(
    net: Supernet,
    subnets: Sequence[Subnet],
    positions: Sequence[int],
    source: BatchSource,
    plan: Sequence[EvaluationStep],
    chunk: int,
) -> Generator[ScoredChunk | None]:
    """Carry out the steps in order: after each, its scores, or None for a calibration batch."""
    groups = by_resolution(subnets, positions)
    with undisturbed(net):
        for resolution, planned in groupby(plan, key=lambda step: step.resolution):
            group, todo = groups[resolution], list(planned)
            tree = PrefixTree(net, [subnets[position] for position in group])
            calibrating = sum(step.split is None for step in todo)
            if tree.calibrates:
                for batch in source.calibration(resolution):
                    tree.observe(batch)
                    yield None
            else:
                yield from [None] * calibrating
            tree.settle()
            for split, chunks in groupby(todo[calibrating:], key=lambda step: step.split):
                numbers = [step.number for step in chunks]
                batches = _batches(source, split, resolution, chunk, numbers)
                for taken, batch in _passes(batches, chunk * resolution**2):
                    marks = _marks(tree, len(group), batch).cpu()
                    for number, part in zip(taken, torch.split(marks, chunk, dim=1), strict=True):
                        yield ScoredChunk(resolution, split, number, tuple(group), part.numpy())


def _batches(
    source: BatchSource, split: HeldOut | None, resolution: int, chunk: int, numbers: list[int]
) -> Iterator[tuple[int, MicroBatch]]:
    """The batches of these numbers. A source is asked for all of them as for a whole split, which
    it may keep."""
    assert split is not None
    if len(numbers) == len(_sizes(source.sizes[split], chunk)):
        batches = source.evaluation(split, resolution, chunk)
    else:
        batches = source.evaluation(split, resolution, chunk, numbers)
    yield from zip(numbers, batches, strict=True)


def _passes(
    batches: Iterator[tuple[int, MicroBatch]], pixels: int
) -> Iterator[tuple[list[int], MicroBatch]]:
    """The chunks, of so many pixels, that are scored at once: as many as PASS_PIXELS hold, at least
    one. Which ones go together follows from their numbers, not from what is left to do."""

    def group_number(item: tuple[int, MicroBatch]) -> int:
        number, batch = item
        return number // max(1, PASS_PIXELS.get(batch.images.device.type, 0) // pixels)

    for _, taken in groupby(batches, key=group_number):
        several = list(taken)
        numbers, parts = [number for number, _ in several], [batch for _, batch in several]
        if len(parts) == 1:
            yield numbers, parts[0]
        else:
            images = torch.cat([part.images for part in parts])
            yield numbers, MicroBatch(images, torch.cat([part.labels for part in parts]))


def _marks(tree: PrefixTree, rows: int, batch: MicroBatch) -> Tensor:
    """Whether each of `rows` subnets gets each image right, [rows, images]."""
    truth = batch.labels
    marks = torch.zeros((rows, len(truth)), dtype=torch.bool, device=truth.device)

    def mark(position: int, logits: Tensor) -> None:
        torch.eq(logits.argmax(1), truth, out=marks[position])

    tree.classify(batch.images, mark)
    return marks
