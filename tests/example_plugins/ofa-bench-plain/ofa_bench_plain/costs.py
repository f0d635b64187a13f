"""What a subnet costs: a constant, and a term for each block. No torch."""

from __future__ import annotations

from ofa_bench import Table, Tally


def tally(table: Table, resolution: int | None) -> Tally:
    """Multiply-accumulates at a resolution; parameters where none is given."""
    counting_macs = resolution is not None
    inputs = table.stem.width
    side = halved(resolution, table.stem.stride) if counting_macs else 1
    base = 27 * inputs * side**2 + (0 if counting_macs else 2 * inputs)
    blocks, slot = {}, 0
    for row in table.rows:
        for place in range(max(row.depth)):
            side = halved(side, row.stride if place == 0 else 1)
            for kernel in row.kernel:
                for ratio in row.expand:
                    middle = inputs * ratio
                    weights = middle * (inputs * kernel**2 + row.width)
                    norms = 0 if counting_macs else 2 * (middle + row.width)
                    blocks[slot, kernel, ratio] = weights * side**2 + norms
            inputs, slot = row.width, slot + 1
    return Tally(base, inputs + (0 if counting_macs else 1), blocks)


def halved(side: int, stride: int) -> int:
    """The output side of a convolution padded by half its kernel."""
    return (side - 1) // stride + 1
