"""Tables: the rows a supernet is built from and its subnets are counted by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_bench.errors import RecipeError, UnknownName, suggest
from ofa_bench.sanitize import printable
from ofa_bench.space.bounds import check
from ofa_bench.space.entries import ACTS, Entries
from ofa_bench.spec_files import load_toml, specs_root
from ofa_bench.strict import shown

if TYPE_CHECKING:
    from ofa_bench.space.costs import Tally

Count = Callable[["Table", int | None], "Tally"]
"""MACs of a table's subnets at a resolution, or their parameters where none is given."""

Families = Mapping[str, Count | None]
SHIPPED: Families = {"mbconv": None}


@dataclass(frozen=True)
class Stem:
    """The 3×3 convolution with batch norm that meets the image."""

    width: int
    stride: int
    act: str


@dataclass(frozen=True)
class First:
    """Block 0: a depthwise 3×3 and a linear 1×1, never elastic, without expansion."""

    width: int
    stride: int
    act: str
    shortcut: bool


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

    final: int
    mix: int
    act: str


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


_KEYS: dict[str, tuple[str, ...]] = {
    "": (
        *("base", "summary", "source", "family", "width_mult", "norm_eps", "transforms"),
        *("resolution", "stem", "first", "stages", "head"),
    ),
    "stem": ("width", "stride", "act"),
    "first": ("width", "stride", "act", "shortcut"),
    "stages": ("width", "stride", "act", "se", "depth", "expand", "kernel"),
    "head": ("final", "mix", "act"),
}


def _layered(path: Path, above: tuple[Path, ...], families: Families) -> dict[str, Any]:
    """The file's entries laid over those of its base; summary and source are never inherited."""
    data = load_toml(path)
    _refuse_unknown(data, path)
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
        deep = isinstance(value, dict) and key in _KEYS
        under[key] = {**under.get(key, {}), **value} if deep else value
    return under


def _refuse_unknown(data: dict[str, Any], path: Path) -> None:
    for section, known in _KEYS.items():
        part = data.get(section, {}) if section else data
        if not isinstance(part, dict):
            raise RecipeError(f"is {shown(part)}, not a table", file=str(path), key=section)
        for key in part:
            if key not in known:
                hint = suggest(key, known, "known keys")
                where = f"{section}.{key}" if section else key
                raise RecipeError("unknown key", file=str(path), key=where, hint=hint)


def _parse(data: dict[str, Any], path: Path, families: Families) -> Table:
    top = Entries(data, str(path))
    mult = top.number("width_mult", default=1.0)

    def width(entries: Entries, key: str) -> int:
        return top.integer_in("width", round8(entries.integer(key) * mult))

    stem, first, head = top.section("stem"), top.section("first"), top.section("head")
    mix = head.integer("mix", least=0)
    resolutions, listed = top.resolutions("resolution")
    family = top.text("family", among=tuple(families))
    return Table(
        name=printable(path.name.removesuffix(".toml")),
        summary=top.text("summary"),
        source=top.text("source"),
        family=family,
        stem=Stem(width(stem, "width"), stem.integer("stride"), stem.text("act", among=ACTS)),
        first=First(
            width(first, "width"),
            first.integer("stride"),
            first.text("act", among=ACTS),
            first.flag("shortcut"),
        ),
        rows=_rows(top.section("stages"), mult),
        head=Head(width(head, "final"), mix and round8(mix * mult), head.text("act", among=ACTS)),
        norm_eps=top.number("norm_eps"),
        transforms=top.flag("transforms"),
        resolutions=resolutions,
        listed=listed,
        costs=families[family],
    )


def _rows(stages: Entries, mult: float) -> tuple[Row, ...]:
    widths = stages.integers("width")
    count = len(widths)
    columns = zip(
        widths,
        stages.column("stride", count, Entries.integer_in),
        stages.column("act", count, Entries.act_in),
        stages.column("se", count, Entries.flag_in),
        stages.choices("depth", count),
        stages.choices("expand", count),
        stages.choices("kernel", count, odd=True),
        strict=True,
    )
    return tuple(
        Row(round8(width * mult), stride, act, se, depth, expand, kernel)
        for width, stride, act, se, depth, expand, kernel in columns
    )
