"""Size checks on a table before a network is built from it."""

from __future__ import annotations

from math import comb
from typing import TYPE_CHECKING

from ofa_bench.errors import RecipeError
from ofa_bench.limits import advice, limit

if TYPE_CHECKING:
    from ofa_bench.space.table import Table

MACS = 2**53  # counts are exact as floats up to here


def check(table: Table, file: str) -> None:
    """Raise RecipeError if the table's space is too large to count or its largest net to build."""
    sums = sum(_sums(len(row.kernel) * len(row.expand), max(row.depth)) for row in table.rows)
    if sums > limit("space-sums"):
        raise RecipeError(
            f"the stages offer {sums:,} different costs",
            file=file,
            key="stages",
            hint=f"offer fewer choices, or less depth; {advice('space-sums', sums)}",
        )
    if table.costs is not None:  # of a plugin's network, which counts for itself
        return
    from ofa_bench.space.costs import Costs

    costs = Costs(table)
    params = _largest(table, costs.params.base, costs.params.blocks)
    if params > limit("network-parameters"):
        raise RecipeError(
            f"the largest network has {params:,} parameters",
            file=file,
            key="stages.width",
            hint=f"make it narrower; {advice('network-parameters', params)}",
        )
    tally = costs.macs(max(table.resolutions))
    macs = _largest(table, tally.base, tally.blocks)
    if macs > MACS:
        raise RecipeError(
            f"the largest network takes {macs:,} MACs an image",
            file=file,
            key="resolution",
            hint="make it narrower, or the images smaller",
        )


def _sums(terms: int, depth: int) -> int:
    """How many different costs a stage can add, at most: its first block differs from the rest."""
    return terms * comb(terms + depth - 2, depth - 1)


def _largest(table: Table, base: int, blocks: dict[tuple[int, int, int], int]) -> int:
    rows = [row for row in table.rows for _ in range(max(row.depth))]
    return base + sum(
        blocks[slot, max(row.kernel), max(row.expand)] for slot, row in enumerate(rows)
    )
