"""Latency tables: measured times of the blocks of a space, and what a subnet takes by them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ofa_bench.errors import RecipeError, UsageError
from ofa_bench.recipe.load import validated
from ofa_bench.records.parts import Hash, Part, Positive
from ofa_bench.sanitize import plain_text, printable
from ofa_bench.search.costs import AdditiveCost
from ofa_bench.space import Space
from ofa_bench.spec_files import load_toml
from ofa_bench.strict import shown

UNIT = "ms"
AGAIN = "measure one of this space: ofa-bench latency measure SPACE|RUN --device NAME -o FILE.toml"
ERROR_GOAL, TAU_GOAL = 0.10, 0.90
"""Median relative error and Kendall's tau on unseen nets, beyond which a table is called poor."""

Ms = Annotated[float, Field(gt=0, le=1e7)]
Text = Annotated[str, Field(max_length=200)]
Number = Annotated[int, Field(ge=0, le=1000)]


class Timing(Part):
    """Milliseconds of one call on one batch: `ms`, the lowest of the rounds' medians, by which
    costs are counted, and `p50` and `p90` over all `n` calls of all rounds."""

    ms: Ms
    p50: Ms
    p90: Ms
    n: Annotated[int, Field(ge=1, le=10**9)]


class BlockTiming(Timing):
    """An elastic block's time, as extracted and measured alone."""

    slot: Number
    kernel: Number
    expand: Number


class PartTimings(Part):
    """The times of all parts of the space's nets at one resolution; `trunk` is all before the
    elastic blocks, `head` all after them."""

    resolution: Positive
    trunk: Timing
    head: Timing
    blocks: tuple[BlockTiming, ...] = Field(max_length=20_000)


class Calibration(Part):
    """From times of parts to a net's: `offset + scale * sum(ms - overhead)`.

    `overhead` is what a call takes that does nothing, in ms; scale and offset are fitted to `nets`
    whole nets by least squares of the relative error.
    """

    overhead: Annotated[float, Field(ge=0, le=1e7)]
    scale: Annotated[float, Field(gt=0, le=1e3)]
    offset: Annotated[float, Field(ge=-1e7, le=1e7)]
    nets: Positive


class LatencyCheck(Part):
    """What the table said of `nets` whole nets that its calibration has not seen.

    Relative errors: the median and the 90th percentile; `tau` is Kendall's, of predicted and
    measured times. `macs_error` and `macs_tau` are those of MACs alone, with a scale and an offset
    fitted to the same nets as the table's. `repeat_error` and `repeat_tau` are those of one half of
    the rounds against the other on the same nets; a half is noisier than the whole.
    """

    nets: Positive
    median_error: Annotated[float, Field(ge=0, le=1e9)]
    p90_error: Annotated[float, Field(ge=0, le=1e9)]
    tau: Annotated[float, Field(ge=-1, le=1)]
    macs_error: Annotated[float, Field(ge=0, le=1e9)]
    macs_tau: Annotated[float, Field(ge=-1, le=1)]
    repeat_error: Annotated[float, Field(ge=0, le=1e9)]
    repeat_tau: Annotated[float, Field(ge=-1, le=1)]

    def __str__(self) -> str:
        return (
            f"on {self.nets} nets it has not seen: median error {self.median_error:.1%}, "
            f"90th percentile {self.p90_error:.1%}, tau {self.tau:.3f} "
            f"(MACs alone: {self.macs_error:.1%}, {self.macs_tau:.3f}; two measurements of the "
            f"same nets: {self.repeat_error:.1%}, {self.repeat_tau:.3f})"
        )


class SpaceMeasured(Part):
    """The table's space: all that its architecture table offers; `shortcuts` as `net.shortcuts`."""

    name: Text
    fingerprint: Hash
    shortcuts: Text = "identity"


class MeasuringMachine(Part):
    """Where it was measured; governor and clock of the first core as the system tells them."""

    processor: Text
    cores: Positive
    system: Text
    governor: Text | None = None
    clock_mhz: Annotated[float, Field(gt=0, le=1e6)] | None = None


class LatencyTable(Part):
    """A measured table, as `ofa-bench latency measure` writes it. Times are ms a batch."""

    version: Literal[1] = Field(default=1, alias="schema")
    unit: Literal["ms"] = "ms"
    device: Text
    batch: Positive
    threads: Positive
    classes: Positive
    rounds: Positive
    measured: Text
    space: SpaceMeasured
    machine: MeasuringMachine
    versions: dict[Text, Text] = Field(max_length=20)
    calibration: Calibration
    check: LatencyCheck
    parts: tuple[PartTimings, ...] = Field(min_length=1, max_length=1000)

    @property
    def resolutions(self) -> tuple[int, ...]:
        """The resolutions that were measured, sorted."""
        return tuple(sorted(part.resolution for part in self.parts))

    def cost(self) -> AdditiveCost:
        """The table as a cost of subnets, in ms a batch."""
        return parts_cost(self.parts, self.calibration)

    def poor(self) -> str | None:
        """A warning where the table predicts badly by its own check; None where it does well."""
        good = self.check.median_error <= ERROR_GOAL and self.check.tau >= TAU_GOAL
        return None if good else f"the latency table is poor {self.check}"

    def misfit(
        self,
        space: Space,
        classes: int,
        resolutions: Sequence[int] | None = None,
        shortcuts: str = "identity",
    ) -> str | None:
        """Why the table does not hold for nets of a space (or a part of it); None if it does.

        `resolutions`: those that are needed, by default the space's listed ones.
        """
        ours = self.space
        if Space(space.table).fingerprint() != ours.fingerprint:
            other = f"the space {plain_text(ours.name)}" if ours.name != space.name else "another"
            return f"it was measured on {other} (fingerprint {ours.fingerprint[:12]})"
        if classes != self.classes:
            return f"it was measured for {self.classes:,} classes, not {classes:,}"
        if shortcuts != ours.shortcuts:
            theirs = plain_text(ours.shortcuts)
            return f"it was measured with shortcuts: {theirs}, not {plain_text(shortcuts)}"
        wanted = space.listed if resolutions is None else tuple(resolutions)
        missing = [str(size) for size in wanted if size not in self.resolutions]
        if missing:
            return f"it was not measured at resolution {', '.join(missing)}"
        blocks = {(block.slot, block.kernel, block.expand) for block in self.parts[0].blocks}
        if blocks != set(space.costs.params.blocks):
            return "its blocks are not those of the space"
        return None

    def check_fits(self, space: Space, classes: int, shortcuts: str = "identity") -> None:
        """Raise UsageError where the table does not hold for a space, see `misfit`."""
        reason = self.misfit(space, classes, shortcuts=shortcuts)
        if reason is not None:
            raise UsageError(f"the latency table does not fit {space.name}: {reason}", AGAIN)


def parts_cost(parts: Sequence[PartTimings], calibration: Calibration) -> AdditiveCost:
    """The times of parts as a cost of subnets, in ms a batch."""

    def net(timing: Timing) -> float:
        return calibration.scale * max(timing.ms - calibration.overhead, 0.0)

    fixed = {p.resolution: calibration.offset + net(p.trunk) + net(p.head) for p in parts}
    blocks = {
        part.resolution: {(b.slot, b.kernel, b.expand): net(b) for b in part.blocks}
        for part in parts
    }
    return AdditiveCost("latency", UNIT, fixed, blocks)


def load_latency_table(path: str | Path) -> LatencyTable:
    """Read a latency table, which may be anybody's. Raises RecipeError naming file and key."""
    file = Path(path)
    values = load_toml(file, "latency-bytes")
    if values.get("unit", UNIT) != UNIT:
        reason = f"is {shown(values['unit'])}; a latency table is in {UNIT}"
        raise RecipeError(reason, file=str(file), key="unit", hint=AGAIN)
    try:
        table = validated(LatencyTable, values, "", {})
    except RecipeError as error:
        raise RecipeError(error.reason, file=str(file), key=error.key, hint=AGAIN) from error
    for key, reason in _doubtful(table):
        raise RecipeError(reason, file=str(file), key=key, hint=AGAIN)
    return table


def _doubtful(table: LatencyTable) -> Iterator[tuple[str, str]]:
    """(key, reason) of what is legal value by value and no table as a whole."""
    if len(set(table.resolutions)) < len(table.parts):
        yield "parts", "has a resolution twice"
    first = {(b.slot, b.kernel, b.expand) for b in table.parts[0].blocks}
    for number, part in enumerate(table.parts):
        keys = {(b.slot, b.kernel, b.expand) for b in part.blocks}
        if len(keys) < len(part.blocks):
            yield f"parts.{number}.blocks", "has a block twice"
        if keys != first:
            yield f"parts.{number}.blocks", "has other blocks than the first resolution"


def to_toml(table: LatencyTable) -> str:
    """The table as `load_latency_table` reads it, to the last digit."""
    values = table.model_dump(mode="json", by_alias=True, exclude_none=True)
    sections = {name: value for name, value in values.items() if isinstance(value, dict)}
    parts = values.pop("parts")
    lines = [_line(name, value) for name, value in values.items() if name not in sections]
    for name, section in sections.items():
        lines += ["", f"[{name}]", *(_line(key, value) for key, value in section.items())]
    for part in parts:
        blocks = part.pop("blocks")
        lines += ["", "[[parts]]", *(_line(key, value) for key, value in part.items())]
        lines += ["blocks = [", *(f"  {_value(block)}," for block in blocks), "]"]
    return "\n".join(lines) + "\n"


def _line(name: str, value: Any) -> str:
    return f"{_key(name)} = {_value(value)}"


def _key(name: str) -> str:
    bare = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return name if bare else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        order = sorted(value, key=lambda key: key not in ("slot", "kernel", "expand"))
        return f"{{{', '.join(_line(key, value[key]) for key in order)}}}"
    if isinstance(value, str):
        return json.dumps(printable(value), ensure_ascii=False)
    return repr(value)
