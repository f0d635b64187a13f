"""A space of subnets: choices, exact costs, counting and sampling."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate, pairwise, product
from math import prod
from pathlib import Path
from typing import Any

from ofa_bench.errors import UsageError
from ofa_bench.seeding import digest
from ofa_bench.space.census import Census
from ofa_bench.space.costs import Costs, Tally
from ofa_bench.space.options import (
    Choices,
    PerStage,
    PerStageExpand,
    StageOptions,
    described,
    narrowed,
    pick,
)
from ofa_bench.space.sampling import check_measure, draw
from ofa_bench.space.spelling import extreme, read, uniform
from ofa_bench.space.subnet import Subnet
from ofa_bench.space.table import SHIPPED, Families, Table, load_table


class Space:
    """The subnets of one table, or of a part of it; equal spaces have equal fingerprints."""

    def __init__(
        self,
        table: Table,
        options: Sequence[StageOptions] | None = None,
        resolutions: tuple[int, ...] | None = None,
    ) -> None:
        """All that the table offers, unless narrowed; see `only`."""
        self.table = table
        self.name = table.name
        self.options = tuple(options or map(StageOptions.of, table.rows))
        self.resolutions = resolutions or table.resolutions
        standing = tuple(size for size in table.listed if size in self.resolutions)
        self.listed = standing or self.resolutions
        ends = accumulate((max(row.depth) for row in table.rows), initial=0)
        self.blocks = tuple(tuple(range(first, end)) for first, end in pairwise(ends))
        elastic = [stage for stage, option in enumerate(self.options) if option.elastic]
        self._depth_index = {stage: index for index, stage in enumerate(elastic)}

    @property
    def count(self) -> int:
        """How many architectures there are at each resolution, exactly."""
        return prod(option.count for option in self.options)

    def __len__(self) -> int:
        """`count`, where it fits: len() raises OverflowError above sys.maxsize (9.2e18)."""
        return self.count

    def __bool__(self) -> bool:
        return True

    def __contains__(self, subnet: object) -> bool:
        if not isinstance(subnet, Subnet) or subnet.resolution not in self.resolutions:
            return False
        slots = self.blocks[-1][-1] + 1
        lengths = (len(subnet.kernel), len(subnet.expand), len(subnet.depth))
        if lengths != (slots, slots, len(self._depth_index)):
            return False
        return all(
            option.holds(
                self.depth_of(subnet, stage),
                [(subnet.kernel[slot], subnet.expand[slot]) for slot in self.blocks[stage]],
            )
            for stage, option in enumerate(self.options)
        )

    def __iter__(self) -> Iterator[Subnet]:
        """Every architecture at the largest listed resolution; only for small spaces."""
        for stages in product(*(option.stages() for option in self.options)):
            yield self.compose(stages, max(self.listed))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and self.fingerprint() == other.fingerprint()

    def __hash__(self) -> int:
        return int(self.fingerprint()[:15], 16)

    def __repr__(self) -> str:
        return f"<Space {self.name}: {self.count} nets at {len(self.resolutions)} resolutions>"

    @cached_property
    def largest(self) -> Subnet:
        """Every choice at its largest."""
        return extreme(self, -1, max(self.listed))

    @cached_property
    def smallest(self) -> Subnet:
        """Every choice at its smallest, and the smallest listed resolution."""
        return extreme(self, 0, min(self.listed))

    def compose(self, stages: Iterable[Sequence[tuple[int, int]]], resolution: int) -> Subnet:
        """The subnet whose stages have these (kernel, expand) blocks."""
        kernel: list[int | None] = []
        expand: list[int | None] = []
        depth = []
        for stage, blocks in enumerate(stages):
            idle = [None] * (len(self.blocks[stage]) - len(blocks))
            kernel += [*(block[0] for block in blocks), *idle]
            expand += [*(block[1] for block in blocks), *idle]
            if stage in self._depth_index:
                depth.append(len(blocks))
        return Subnet(tuple(kernel), tuple(expand), tuple(depth), resolution)

    def depth_of(self, subnet: Subnet, stage: int) -> int:
        """How many blocks of a stage are active; fixed stages included."""
        index = self._depth_index.get(stage)
        return self.table.rows[stage].depth[0] if index is None else subnet.depth[index]

    def active(self, subnet: Subnet) -> Iterator[tuple[int, int, int, int]]:
        """(stage, slot, kernel, expand) of each active block, in forward order."""
        for stage, slots in enumerate(self.blocks):
            for slot in slots[: self.depth_of(subnet, stage)]:
                kernel, expand = subnet.kernel[slot], subnet.expand[slot]
                if kernel is None or expand is None:
                    raise UsageError(
                        f"slot {slot} is active in a depth-{self.depth_of(subnet, stage)} stage "
                        f"of {self.name} but has no kernel or expand ratio",
                        "make subnets with Space.subnet, which checks them",
                    )
                yield stage, slot, kernel, expand

    def choices(self, axis: str) -> tuple[int, ...]:
        """The choices of an axis in any stage, sorted; "depth" leaves out stages of fixed depth."""
        if axis == "resolution":
            return self.resolutions
        if axis not in ("kernel", "expand", "depth"):
            raise UsageError(f"no axis {axis!r}", "axes: kernel, expand, depth, resolution")
        stages = [option for option in self.options if axis != "depth" or option.elastic]
        values = {value for option in stages or self.options for value in getattr(option, axis)}
        return tuple(sorted(values))

    def subnet(self, spec: str | Mapping[str, Any]) -> Subnet:
        """Parse a subnet from a name, JSON text or mapping.

        Names: `largest`, `smallest`, uniform `k7e4d3`, each with an optional resolution `r160`. An
        axis that the space fixes may be left out; the resolution is then the largest. Raises
        UsageError naming axis, slot, value and choices.
        """
        return read(self, spec)

    def uniform(self) -> list[Subnet]:
        """The nets with one choice in all blocks, at the largest resolution, small ones first."""
        return uniform(self)

    def sample(
        self,
        rng: random.Random,
        measure: str = "dims",
        macs: tuple[int, int] | None = None,
        classes: int = 1000,
        resolution: int | None = None,
    ) -> Subnet:
        """A random subnet.

        `measure`: "dims" draws each dimension alone, in the peers' order (all kernels, all expand
        ratios, the depths, the resolution); "archs" is uniform over distinct nets. With `macs` the
        law is that measure's, conditioned exactly on low <= MACs <= high; a free resolution is
        then one of the listed. Raises UsageError if nothing is in the range.
        """
        check_measure(measure)
        if resolution is not None:
            pick("resolution", 0, (resolution,), self.resolutions)
        if macs is None:
            return draw(self, rng, measure, resolution)
        return self._census.sample(rng, measure, macs, classes, self._standing(resolution))

    def count_in(
        self, low: int, high: int, classes: int = 1000, resolution: int | None = None
    ) -> float:
        """How many nets cost `low` to `high` MACs: exact (an int) up to 4096, else an estimate.

        The estimate is off by the nets within a few kMACs of the range's ends. Without a
        resolution, nets are counted at every listed one.
        """
        return self._census.count_in(low, high, classes, self._standing(resolution))

    def nets_in(
        self,
        low: int,
        high: int,
        classes: int = 1000,
        limit: int = 4096,
        resolution: int | None = None,
    ) -> list[Subnet] | None:
        """All nets that cost `low` to `high` MACs, cheapest first.

        None if there are more than `limit`, or too many leads to follow in a narrow, dense range.
        """
        return self._census.nets_in(low, high, classes, limit, self._standing(resolution))

    def _standing(self, resolution: int | None) -> tuple[int, ...]:
        return self.listed if resolution is None else (resolution,)

    @cached_property
    def _census(self) -> Census:
        return Census(self)

    @cached_property
    def costs(self) -> Costs:
        """The space's additive MAC and parameter counts."""
        return Costs(self.table)

    def only(
        self,
        *,
        kernel: PerStage | None = None,
        expand: PerStageExpand | None = None,
        depth: PerStage | None = None,
        resolution: Choices | None = None,
    ) -> Space:
        """The subspace with these choices only.

        One tuple for all stages, or a list with one per stage; `expand` may map depth to ratios
        (CompOFA). A depth or coupling for all stages leaves stages alone that never vary. Raises
        UsageError on a choice that is not in the space.
        """
        options = narrowed(self.options, kernel, expand, depth)
        sizes = self.resolutions
        if resolution is not None:
            sizes = pick("resolution", 0, resolution, sizes)
        return Space(self.table, options, sizes)

    def macs(self, subnet: Subnet, classes: int = 1000) -> int:
        """Multiply-accumulates of convolutions and linear layers for one image, exactly."""
        return self._total(self.costs.macs(subnet.resolution), subnet, classes)

    def params(self, subnet: Subnet, classes: int = 1000) -> int:
        """Weights of the extracted subnet: batch-norm affine counted, kernel matrices not."""
        return self._total(self.costs.params, subnet, classes)

    def _total(self, tally: Tally, subnet: Subnet, classes: int) -> int:
        try:
            terms = (tally.blocks[slot, k, e] for _, slot, k, e in self.active(subnet))
            return tally.fixed(classes) + sum(terms)
        except (KeyError, IndexError) as error:
            raise UsageError(
                f"{subnet} is not a subnet of {self.name}", "make subnets with Space.subnet"
            ) from error

    def mean_macs(
        self, classes: int = 1000, measure: str = "dims", resolution: int | None = None
    ) -> float:
        """The exact expectation of a sample's MACs, over the resolutions unless one is given."""
        check_measure(measure)
        sizes = self.resolutions if resolution is None else (resolution,)
        return self.costs.mean(self.options, self.blocks, sizes, classes, measure)

    def describe(self) -> dict[str, Any]:
        """The space as JSON: the table's name, each stage's options, the resolutions."""
        return {
            "space": self.name,
            "stages": [option.describe() for option in self.options],
            "resolution": list(self.resolutions),
        }

    @classmethod
    def from_description(cls, table: Table, description: Mapping[str, Any]) -> Space:
        """The subspace of `table` in the form `describe` returns. Raises UsageError."""
        if description.get("space") != table.name:
            raise UsageError(
                f"a description of {description.get('space')!r} does not fit {table.name!r}",
                "load the table it names",
            )
        try:
            wanted = described(description["stages"])
            return cls(table).only(**wanted, resolution=description["resolution"])
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"a description of {table.name!r} is broken: {error!r}", "see Space.describe"
            ) from error

    def fingerprint(self) -> str:
        """Hex digest of everything that the networks depend on; summary and source are excluded."""
        table = self.table
        body = (table.family, table.stem, table.first, table.rows, table.head, table.norm_eps)
        axes = (table.transforms, table.listed, self.options, self.resolutions)
        return digest(table.name, body, axes)


def load_space(name: str | Path, folder: Path | None = None, families: Families = SHIPPED) -> Space:
    """The space of a table, by name or by the path of a TOML file."""
    return Space(load_table(name, folder, families))
