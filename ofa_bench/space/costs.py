"""Multiply-accumulates and parameters, as a constant plus a term per block.

A block's input width is fixed by the table, so its cost depends on its own kernel and expand ratio
only, and a stage's on that stage's choices only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from ofa_bench.space.options import StageOptions
from ofa_bench.space.table import Row, Table, round8

BlockKey = tuple[int, int, int]


@dataclass(frozen=True)
class Tally:
    """A cost in additive form: `base`, `per_class` for the classifier, and a term for each elastic
    block (slot, kernel, expand ratio) that a subnet may have."""

    base: int
    per_class: int
    blocks: dict[BlockKey, int]

    def fixed(self, classes: int) -> int:
        """The cost common to all subnets."""
        return self.base + self.per_class * classes


@dataclass(frozen=True)
class _Block:
    """An elastic block's surroundings: widths, sides of its input and output, squeeze."""

    before: int
    after: int
    side_in: int
    side_out: int
    se: bool

    def middle(self, expand: int) -> int:
        return round8(round(self.before * expand))

    def macs(self, kernel: int, expand: int) -> int:
        middle = self.middle(expand)
        squeeze = 2 * middle * round8(middle // 4) if self.se else 0
        spatial = middle * (kernel**2 + self.after) * self.side_out**2
        return self.before * middle * self.side_in**2 + spatial + squeeze

    def params(self, kernel: int, expand: int) -> int:
        middle = self.middle(expand)
        reduced = round8(middle // 4) if self.se else 0
        squeeze = 2 * middle * reduced + middle + reduced if self.se else 0
        convolutions = middle * (self.before + kernel**2 + self.after)
        return convolutions + squeeze + 2 * (middle + middle + self.after)


class Costs:
    """The tallies of one table; MACs per resolution, computed on first use."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._count = table.costs or inverted_residuals
        self._macs: dict[int, Tally] = {}
        self.params = self._count(table, None)

    def macs(self, resolution: int) -> Tally:
        """The MAC tally for square images of this side."""
        if resolution not in self._macs:
            self._macs[resolution] = self._count(self._table, resolution)
        return self._macs[resolution]

    def mean(
        self,
        options: Sequence[StageOptions],
        blocks: Sequence[Sequence[int]],
        resolutions: Sequence[int],
        classes: int,
        measure: str,
    ) -> float:
        """The expected MACs of a draw by `measure`, all resolutions being equally likely."""
        total = Fraction(0)
        for resolution in resolutions:
            tally = self.macs(resolution)
            total += tally.fixed(classes)
            for option, slots in zip(options, blocks, strict=True):
                total += _stage_mean(option, slots, tally, measure)
        return float(total / len(resolutions))


def inverted_residuals(table: Table, resolution: int | None) -> Tally:
    """What the shipped network costs: MACs at a resolution, parameters without one."""
    return _params(table) if resolution is None else _macs(table, resolution)


def _stage_mean(option: StageOptions, slots: Sequence[int], tally: Tally, measure: str) -> Fraction:
    mean = Fraction(0)
    for depth in option.depth:
        ratios = option.at(depth)
        summed = sum(
            tally.blocks[slot, kernel, ratio]
            for slot in slots[:depth]
            for kernel in option.kernel
            for ratio in ratios
        )
        share = Fraction(1, len(option.depth))
        if measure == "archs":
            share = Fraction(option.arrangements(depth), option.count)
        mean += share * Fraction(summed, len(option.kernel) * len(ratios))
    return mean


def _macs(table: Table, resolution: int) -> Tally:
    stem, first, head = table.stem, table.first, table.head
    side = _halved(resolution, stem.stride)
    base = 27 * stem.width * side**2
    side = _halved(side, first.stride)
    base += stem.width * (9 + first.width) * side**2
    blocks = _surroundings(table, side)
    last = blocks[-1]
    base += last.after * head.final * last.side_out**2 + head.final * head.mix
    return Tally(
        base,
        head.mix or head.final,
        {key: blocks[key[0]].macs(*key[1:]) for key in _keys(table)},
    )


def _params(table: Table) -> Tally:
    stem, first, head = table.stem, table.first, table.head
    base = 27 * stem.width + 2 * stem.width
    base += stem.width * (9 + first.width) + 2 * (stem.width + first.width)
    base += table.rows[-1].width * head.final + 2 * head.final + head.final * head.mix
    blocks = _surroundings(table, 1)
    return Tally(
        base,
        (head.mix or head.final) + 1,
        {key: blocks[key[0]].params(*key[1:]) for key in _keys(table)},
    )


def _surroundings(table: Table, side: int) -> list[_Block]:
    """One entry per slot, for stage inputs that begin `side` pixels wide."""
    blocks = []
    before = table.first.width
    for row in table.rows:
        for position in range(max(row.depth)):
            after = _halved(side, row.stride if position == 0 else 1)
            blocks.append(_Block(before, row.width, side, after, row.se))
            before, side = row.width, after
    return blocks


def _keys(table: Table) -> list[BlockKey]:
    rows: list[Row] = [row for row in table.rows for _ in range(max(row.depth))]
    return [
        (slot, kernel, ratio)
        for slot, row in enumerate(rows)
        for kernel in row.kernel
        for ratio in row.expand
    ]


def _halved(side: int, stride: int) -> int:
    """The output side of a convolution padded by half its kernel."""
    return (side - 1) // stride + 1
