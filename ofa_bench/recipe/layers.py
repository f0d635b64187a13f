"""Layered recipe tables: later layers override earlier ones, and each leaf records its origin."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ofa_bench.errors import RecipeError, UsageError
from ofa_bench.limits import advice, limit
from ofa_bench.spec_files import load_toml, parse_toml
from ofa_bench.strict import DEEPEST, shown, strange

Tree = dict[str, Any]


class Layers:
    """A tree of values and, by dotted path, the origin of each leaf."""

    def __init__(self) -> None:
        self.tree: Tree = {}
        self.origins: dict[str, str] = {}

    def lay(self, values: Mapping[str, Any], origin: str) -> None:
        """Add a layer: tables are merged, leaves replaced."""
        self._merge(self.tree, values, origin, "")

    def _merge(self, under: Tree, over: Mapping[str, Any], origin: str, path: str) -> None:
        for name, value in over.items():
            key = f"{path}{name}"
            if isinstance(value, Mapping):
                if not isinstance(under.get(name), dict):
                    if name in under or not value:  # a table where a value is, or an empty one
                        self.origins[key] = origin
                    under[name] = {}
                self._merge(under[name], value, origin, f"{key}.")
            else:
                under[name] = value
                self.origins[key] = origin

    def origin_of(self, path: str) -> str:
        """The origin of a value, or of the first one in a table."""
        inside = (key for key in self.origins if key.startswith(f"{path}."))
        return self.origins[path] if path in self.origins else self.origins[next(inside)]

    def set(self, assignment: str, origin: str) -> None:
        path, sign, text = assignment.partition("=")
        names = path.strip().split(".")
        if not sign or not all(names) or len(names) > DEEPEST:
            raise UsageError(
                f"--set {shown(assignment)} is not PATH=VALUE", "as in --set optim.lr=0.05"
            )
        value: Any = parse_value(text.strip())
        for name in reversed(names):
            value = {name: value}
        for key, reason in strange(value):
            raise RecipeError(reason, file=origin, key=key, hint="write a valid value")
        refuse_chosen(value, origin)
        self.lay(value, origin)


def parse_value(text: str) -> Any:
    """Parse a value as TOML; text that is not TOML is returned unchanged."""
    if len(text) > limit("toml-bytes"):
        raise UsageError(f"--set has a value of {len(text):,} characters", advice("toml-bytes"))
    try:
        return parse_toml(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


CHOSEN = {"method": "method", "dataset": "dataset", "space": "space", "extras": "with"}
"""Keys of the science that have an option of their own, and what it is called."""


def refuse_chosen(values: Mapping[str, Any], origin: str, but: Iterable[str] = ()) -> None:
    """RecipeError for a key that is said by an option: here it would have no effect."""
    for key in values.keys() & CHOSEN.keys() - set(but):
        hint = f"choose with --{CHOSEN[key]} NAME"
        raise RecipeError("is no value of a recipe", file=origin, key=key, hint=hint)


def recipe_files(
    roots: Iterable[Path], dataset: str, space: str, method: str
) -> Iterator[tuple[Path, Tree]]:
    """The recipe files of a data set on a space, in the order they are laid.

    A folder `<dataset>@<space>` stands before `<dataset>@<base of the space>`, and both before
    `<dataset>`; where none is there, `folder` stands in for the data set. A base may say
    `like = "<folder>"`.
    """
    roots = list(roots)
    places = [root / "recipes" for root in roots]
    spaces = _ancestry([root / "spaces" for root in roots], space)
    for stem in ("base", method):
        for folder in reversed(_lineage(places, dataset, spaces)):
            path = folder / f"{stem}.toml"
            if path.is_file():
                values = load_toml(path)
                values.pop("like", None)
                yield path, values


def _ancestry(folders: list[Path], space: str) -> list[str]:
    """A space's name and those of the tables it is based on, nearest first."""
    path = Path(space)
    files = [path]
    if path.suffix == ".toml":
        folders = [path.parent, *folders]
    else:
        files = [folder / f"{space}.toml" for folder in folders]
    names = [path.stem if path.suffix == ".toml" else space]
    while True:
        file = next((file for file in files if file.is_file()), None)
        base = load_toml(file).get("base") if file else None
        if not isinstance(base, str) or base in names:
            return names  # what is wrong with a table is reported by its reader
        names.append(base)
        files = [folder / f"{base}.toml" for folder in folders]


def _lineage(places: list[Path], dataset: str, spaces: list[str]) -> list[Path]:
    names = [
        name
        for stem in (dataset, "folder")
        for name in (*(f"{stem}@{space}" for space in spaces), stem)
    ]
    folder = next((p / n for n in names for p in places if (p / n).is_dir()), None)
    lineage: list[Path] = []
    while folder is not None:
        if folder in lineage:
            raise RecipeError("`like` goes round in a circle", file=str(folder / "base.toml"))
        lineage.append(folder)
        base = folder / "base.toml"
        like = load_toml(base).get("like") if base.is_file() else None
        if like is None:
            break
        folder = next((p / str(like) for p in places if (p / str(like)).is_dir()), None)
        if folder is None:
            raise RecipeError(f"there is no recipe folder {like!r}", file=str(base), key="like")
    return lineage
