"""Tables: the rows a supernet is built from and its subnets are counted by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from ofa_bench.errors import RecipeError, UnknownName, suggest
from ofa_bench.sanitize import printable
from ofa_bench.space.bounds import check
from ofa_bench.space.entries import (
    STRICT,
    Act,
    Choices,
    Few,
    Flag,
    Kernel,
    Listed,
    Number,
    Side,
    Stride,
    Text,
    Width,
    checked,
)
from ofa_bench.spec_files import load_toml, specs_root
from ofa_bench.strict import shown

if TYPE_CHECKING:
    from ofa_bench.space.costs import Tally

Count = Callable[["Table", int | None], "Tally"]
"""MACs of a table's subnets at a resolution, or their parameters where none is given."""

Families = Mapping[str, Count | None]
SHIPPED: Families = {"mbconv": None}
MOST_SIZES = 256  # resolutions


@dataclass(frozen=True)
class Stem:
    """The 3×3 convolution with batch norm that meets the image."""

    __pydantic_config__ = STRICT

    width: Width
    stride: Stride
    act: Act


@dataclass(frozen=True)
class First:
    """Block 0: a depthwise 3×3 and a linear 1×1, never elastic, without expansion."""

    __pydantic_config__ = STRICT

    width: Width
    stride: Stride
    act: Act
    shortcut: Flag


@dataclass(frozen=True)
class Row:
    """One stage of MBConv blocks; `stride` is its first block's, the others have 1."""

    width: int
    stride: int
    act: str
    se: bool
    depth: tuple[int, ...]
    expand: tuple[int, ...]
    kernel: tuple[int, ...]


@dataclass(frozen=True)
class Head:
    """`final`: 1×1 convolution with batch norm before the pool; `mix`: a bare one after, or 0."""

    __pydantic_config__ = STRICT

    final: Width
    mix: Annotated[int, Field(strict=True, ge=0, le=2**16)]
    act: Act


@dataclass(frozen=True)
class Table:
    """A family of networks; widths are final, that is multiplied and rounded.

    `costs` counts the subnets of a family that is not the shipped one.
    `transforms`: smaller kernels pass through learned matrices (OFA, section 3.3) instead of being
    centre crops. `resolutions` may be drawn in training; candidates stand at the `listed` ones.
    """

    name: str
    summary: str
    source: str
    family: str
    stem: Stem
    first: First
    rows: tuple[Row, ...]
    head: Head
    norm_eps: float
    transforms: bool
    resolutions: tuple[int, ...]
    listed: tuple[int, ...]
    costs: Count | None = field(default=None, compare=False, repr=False)


class StageEntries(BaseModel):
    """Columns of one entry for each stage; a single entry applies to all."""

    model_config = STRICT

    width: Listed[Width]
    stride: tuple[Stride, ...]
    act: tuple[Act, ...]
    se: tuple[Flag, ...]
    depth: tuple[Choices[Few], ...]
    expand: tuple[Choices[Few], ...]
    kernel: tuple[Choices[Kernel], ...]

    @field_validator("stride", "act", "se", "depth", "expand", "kernel", mode="before")
    @classmethod
    def _for_each_stage(cls, value: Any, info: ValidationInfo) -> Any:
        stages = len(info.data.get("width", ()))
        column = isinstance(value, list)
        if column and info.field_name in ("depth", "expand", "kernel"):
            column = any(isinstance(entry, list) for entry in value)
        if not column:
            return [value] * stages
        if len(value) != stages:
            context = {"entries": len(value), "stages": stages}
            raise PydanticCustomError(
                "columns", "has {entries} entries for {stages} stages", context
            )
        return value


class SizeEntries(BaseModel):
    """A range of resolutions."""

    model_config = STRICT

    low: Side = Field(alias="from")
    high: Side = Field(alias="to")
    step: Side
    listed: Choices[Side]


class SpaceFile(BaseModel):
    """A whole file, laid over its base; widths are not multiplied yet."""

    model_config = STRICT

    base: None = None  # which is laid under it before
    width_mult: Number = 1.0
    stem: Stem
    first: First
    head: Head
    resolution: Any
    family: Text
    summary: Text
    source: Text
    stages: StageEntries
    norm_eps: Number
    transforms: Flag


def round8(v: float) -> int:
    """The nearest multiple of 8, ties up, at least 8 and never over 10 % below `v` (MobileNet)."""
    rounded = max(8, int(v + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * v else rounded


def load_table(name: str | Path, folder: Path | None = None, families: Families = SHIPPED) -> Table:
    """A table by name, or by the path of a TOML file; `families` are those there is a network for.

    Raises UnknownName, or RecipeError naming file and key.
    """
    path = Path(name)
    if path.suffix != ".toml" and path.parent == Path():
        path = _find(str(name), (folder or specs_root() / "spaces",))
    table = _parse(_layered(path, (), families), path, families)
    check(table, str(path))
    return table


def table_names(folder: Path | None = None) -> list[str]:
    """The names of the tables in a folder, by default the shipped ones."""
    paths = (folder or specs_root() / "spaces").glob("*.toml")
    return sorted(path.name.removesuffix(".toml") for path in paths)


def _find(name: str, folders: Iterable[Path]) -> Path:
    for folder in folders:
        if (folder / f"{name}.toml").is_file():
            return folder / f"{name}.toml"
    raise UnknownName("space", name, [known for folder in folders for known in table_names(folder)])


def _layered(path: Path, above: tuple[Path, ...], families: Families) -> dict[str, Any]:
    """The file's entries laid over those of its base; summary and source are never inherited."""
    data = load_toml(path)
    base = data.pop("base", None)
    if base is None:
        return data
    if not isinstance(base, str):
        raise RecipeError(f"is {shown(base)}, not the name of a table", file=str(path), key="base")
    try:
        below = _find(base, (path.parent, specs_root() / "spaces"))
    except UnknownName as error:
        raise RecipeError(error.message, file=str(path), key="base", hint=error.hint) from error
    if below in (path, *above):
        raise RecipeError("a table cannot stand on itself", file=str(path), key="base")
    under = _layered(below, (path, *above), families)
    _parse(under, below, families)
    del under["summary"], under["source"]
    for key, value in data.items():
        deep = isinstance(value, dict) and key in ("stem", "first", "stages", "head")
        under[key] = {**under[key], **value} if deep else value
    return under


def _parse(data: dict[str, Any], path: Path, families: Families) -> Table:
    sizes = _resolutions(data["resolution"], str(path)) if "resolution" in data else ((), ())
    file: SpaceFile = checked(SpaceFile, data, str(path))
    if file.family not in families:
        hint = suggest(file.family, families)
        raise RecipeError(f"is {shown(file.family)}", file=str(path), key="family", hint=hint)

    def width(value: int) -> int:
        return int(checked(Width, round8(value * file.width_mult), str(path), "width"))

    stages, head = file.stages, file.head
    columns = (stages.stride, stages.act, stages.se, stages.depth, stages.expand, stages.kernel)
    rows = zip(stages.width, *columns, strict=True)
    return Table(
        name=printable(path.name.removesuffix(".toml")),
        summary=file.summary,
        source=file.source,
        family=file.family,
        stem=replace(file.stem, width=width(file.stem.width)),
        first=replace(file.first, width=width(file.first.width)),
        rows=tuple(Row(round8(wide * file.width_mult), *row) for wide, *row in rows),
        head=replace(
            head, final=width(head.final), mix=head.mix and round8(head.mix * file.width_mult)
        ),
        norm_eps=file.norm_eps,
        transforms=file.transforms,
        resolutions=sizes[0],
        listed=sizes[1],
        costs=families[file.family],
    )


def _resolutions(value: Any, file: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Those of training, and the listed: one number, or {from, to, step, listed}."""
    if not isinstance(value, dict):
        fixed = (checked(Side, value, file, "resolution"),)
        return fixed, fixed
    sizes: SizeEntries = checked(SizeEntries, value, file, "resolution")
    drawn = tuple(range(sizes.low, sizes.high + 1, sizes.step))
    outside = [size for size in sizes.listed if size not in drawn]
    if sizes.low > sizes.high:
        key, reason = "from", f"is {sizes.low}, over to = {sizes.high}"
    elif len(drawn) > MOST_SIZES:
        key, reason = "step", f"makes {len(drawn):,} resolutions, over {MOST_SIZES}"
    elif outside:
        key, reason = "listed", f"holds {outside[0]}, which training never draws"
    else:
        return drawn, sizes.listed
    raise RecipeError(reason, file=file, key=f"resolution.{key}")
