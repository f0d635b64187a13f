"""The table of a space that does not come with ofa-bench, as its record carries it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import Field

from ofa_bench.errors import UsageError
from ofa_bench.records.parts import Part
from ofa_bench.sanitize import printable
from ofa_bench.space import Space
from ofa_bench.space.bounds import check
from ofa_bench.space.table import First, Head, Row, Stem, Table, load_table, table_names

Width = Annotated[int, Field(ge=1, le=2**23)]  # as tables may have, once multiplied
Stride = Annotated[int, Field(ge=1, le=1024)]
Side = Annotated[int, Field(ge=1, le=10**5)]
LONGEST = 1000  # characters of a summary, the rest is left out
Text = Annotated[str, Field(max_length=LONGEST)]
Act = Annotated[str, Field(max_length=40)]
Choices = Annotated[
    tuple[Annotated[int, Field(ge=1, le=1024)], ...], Field(min_length=1, max_length=64)
]


class StemTable(Part):
    """See `ofa_bench.space.table.Stem`."""

    width: Width
    stride: Stride
    act: Act


class FirstTable(StemTable):
    """See `ofa_bench.space.table.First`."""

    shortcut: bool


class RowTable(StemTable):
    """See `ofa_bench.space.table.Row`."""

    se: bool
    depth: Choices
    expand: Choices
    kernel: Choices


class HeadTable(Part):
    """See `ofa_bench.space.table.Head`."""

    final: Width
    mix: Annotated[int, Field(ge=0, le=2**23)]
    act: Act


class SpaceTable(Part):
    """All that the networks of a space depend on; see `ofa_bench.space.table.Table`."""

    summary: Text
    source: Text
    family: Annotated[str, Field(max_length=200)]
    stem: StemTable
    first: FirstTable
    rows: Annotated[tuple[RowTable, ...], Field(min_length=1, max_length=64)]
    head: HeadTable
    norm_eps: Annotated[float, Field(gt=0, le=1)]
    transforms: bool
    resolutions: Annotated[tuple[Side, ...], Field(min_length=1, max_length=1000)]
    listed: Annotated[tuple[Side, ...], Field(min_length=1, max_length=1000)]


SHIPPED_FAMILY: Literal["mbconv"] = "mbconv"
MOST_BLOCKS = 1024


def carried(space: Space) -> dict[str, Any] | None:
    """The table that a record must carry for a space; None for a space that is shipped."""
    name = space.table.name
    if name in table_names() and load_table(name) == space.table:
        return None
    fields = asdict(space.table)
    texts = {key: printable(fields[key])[:LONGEST] for key in ("summary", "source")}
    return {k: v for k, v in fields.items() if k not in ("name", "costs")} | texts


def restored(name: str, table: SpaceTable) -> Space:
    """The space of a carried table; UsageError where it cannot be counted here."""
    if table.family != SHIPPED_FAMILY:
        raise UsageError(
            f"spaces of the family {table.family!r} are counted by its plugin",
            "install that plugin where you trust it",
        )
    if sum(max(row.depth) for row in table.rows) > MOST_BLOCKS:
        raise UsageError(f"the table has over {MOST_BLOCKS} blocks", "no network is that deep")
    fields = table.model_dump()
    fields["rows"] = tuple(Row(**row) for row in fields["rows"])
    for part, kind in (("stem", Stem), ("first", First), ("head", Head)):
        fields[part] = kind(**fields[part])
    whole = Table(name=name, **fields)
    check(whole, f"the table of {name!r}")
    return Space(whole)
