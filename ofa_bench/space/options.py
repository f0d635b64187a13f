"""The choices of one stage of a space, and their restriction to a subspace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import product
from typing import Any

from ofa_bench.errors import UsageError
from ofa_bench.space.table import Row

Choices = Sequence[int]
Coupling = Mapping[int, Choices]
PerStage = Choices | Sequence[Choices]
PerStageExpand = Choices | Coupling | Sequence[Choices | Coupling]


@dataclass(frozen=True, repr=False)
class StageOptions:
    """Kernels and depths of one stage, and the expand ratios its blocks have at each depth."""

    kernel: tuple[int, ...]
    depth: tuple[int, ...]
    ratios: tuple[tuple[int, ...], ...]
    elastic: bool

    def __repr__(self) -> str:
        # Fingerprints of recorded spaces hash this spelling.
        values = (f"{field.name}={getattr(self, field.name)!r}" for field in fields(self))
        return f"Options({', '.join(values)})"

    @classmethod
    def of(cls, row: Row) -> StageOptions:
        """All choices of a table's row."""
        return cls(row.kernel, row.depth, (row.expand,) * len(row.depth), len(row.depth) > 1)

    @property
    def coupled(self) -> bool:
        """Whether the expand ratios depend on the depth (CompOFA, section 3)."""
        return len(set(self.ratios)) > 1

    @property
    def expand(self) -> tuple[int, ...]:
        """The expand ratios of any depth, sorted."""
        return tuple(sorted({ratio for ratios in self.ratios for ratio in ratios}))

    def at(self, depth: int) -> tuple[int, ...]:
        """The expand ratios at a depth the stage offers."""
        return self.ratios[self.depth.index(depth)]

    def arrangements(self, depth: int) -> int:
        """How many distinct stages of this depth there are."""
        return int((len(self.kernel) * len(self.at(depth))) ** depth)

    @property
    def count(self) -> int:
        """How many distinct stages there are."""
        return sum(self.arrangements(depth) for depth in self.depth)

    def stages(self) -> Iterator[tuple[tuple[int, int], ...]]:
        """Every distinct stage, as its blocks' (kernel, expand)."""
        for depth in self.depth:
            yield from product(product(self.kernel, self.at(depth)), repeat=depth)

    def holds(self, depth: int, blocks: Sequence[tuple[int | None, int | None]]) -> bool:
        """Whether these slots' (kernel, expand) make a canonical stage of this depth."""
        if depth not in self.depth:
            return False
        ratios = self.at(depth)
        return all(
            kernel in self.kernel and expand in ratios
            if position < depth
            else kernel is None and expand is None
            for position, (kernel, expand) in enumerate(blocks)
        )

    def describe(self) -> dict[str, object]:
        """Plain lists; a coupled stage maps depth to ratios."""
        coupled = {str(d): list(r) for d, r in zip(self.depth, self.ratios, strict=True)}
        return {
            "kernel": list(self.kernel),
            "expand": coupled if self.coupled else list(self.expand),
            "depth": list(self.depth),
        }


def narrowed(
    options: Sequence[StageOptions],
    kernel: PerStage | None,
    expand: PerStageExpand | None,
    depth: PerStage | None,
) -> tuple[StageOptions, ...]:
    """Restrict some axes of the options. Raises UsageError on a choice that is not offered.

    One entry applies to all stages (for depth and coupled expand: to all elastic ones); a list has
    one entry per stage.
    """
    kernels = _spread("kernel", kernel, len(options))
    depths = _spread("depth", depth, len(options))
    ratios = _spread("expand", expand, len(options))
    return tuple(
        _narrow(stage, entry, k, e, d)
        for stage, entry, k, e, d in zip(
            range(1, len(options) + 1), options, kernels, ratios, depths, strict=True
        )
    )


def described(stages: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The arguments of `narrowed` from the output of `StageOptions.describe`."""

    def ratios(expand: Any) -> Any:
        coupled = isinstance(expand, Mapping)
        return {int(depth): ratios for depth, ratios in expand.items()} if coupled else expand

    return {
        "kernel": [stage["kernel"] for stage in stages],
        "expand": [ratios(stage["expand"]) for stage in stages],
        "depth": [stage["depth"] for stage in stages],
    }


@dataclass(frozen=True)
class _Asked:
    value: Any
    everywhere: bool


def _spread(axis: str, asked: Any, stages: int) -> Iterator[_Asked | None]:
    """One restriction per stage: the same for all, or a list's entries."""
    if asked is None:
        return iter([None] * stages)
    if isinstance(asked, Mapping) or all(isinstance(choice, int) for choice in asked):
        return iter([_Asked(asked, True)] * stages)
    if len(asked) != stages:
        raise UsageError(
            f"{axis} has {len(asked)} entries for {stages} stages",
            f"give one tuple of choices for all stages, or a list of {stages}",
        )
    return iter([_Asked(entry, False) for entry in asked])


def _narrow(
    stage: int,
    old: StageOptions,
    kernel: _Asked | None,
    expand: _Asked | None,
    depth: _Asked | None,
) -> StageOptions:
    kernels = old.kernel if kernel is None else pick("kernel", stage, kernel.value, old.kernel)
    depths = old.depth
    if depth is not None and (old.elastic or not depth.everywhere):
        depths = pick("depth", stage, depth.value, old.depth)
    ratios = tuple(old.at(d) for d in depths)
    if expand is not None and isinstance(expand.value, Mapping):
        if old.elastic or not expand.everywhere:
            ratios = tuple(_coupling(stage, expand.value, old, d) for d in depths)
    elif expand is not None:
        ratios = tuple(pick("expand", stage, expand.value, old.at(d)) for d in depths)
    return StageOptions(kernels, depths, ratios, old.elastic)


def _coupling(stage: int, wanted: Coupling, old: StageOptions, depth: int) -> tuple[int, ...]:
    if depth not in wanted:
        raise UsageError(
            f"expand says nothing about depth {depth}, which stage {stage} offers",
            f"a coupled expand needs an entry for each of {_listing(old.depth)}",
        )
    return pick("expand", stage, wanted[depth], old.at(depth))


def pick(axis: str, stage: int, wanted: Choices, offered: Choices) -> tuple[int, ...]:
    """Sort and check the requested choices. Raises UsageError if empty or not offered."""
    chosen = tuple(sorted(set(wanted)))
    strange = [choice for choice in chosen if choice not in offered]
    where = f" of stage {stage}" if stage else ""
    if not chosen:
        raise UsageError(f"{axis}{where} is left without a choice", f"choices: {_listing(offered)}")
    if strange:
        raise UsageError(
            f"{axis} {strange[0]} is not a choice{where}", f"choices: {_listing(offered)}"
        )
    return chosen


def _listing(choices: Choices) -> str:
    return ", ".join(map(str, choices))
