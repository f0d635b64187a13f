"""Nested recipe tables laid over one another, each leaf remembering who said it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ofa_bench.errors import RecipeError, UsageError
from ofa_bench.specs import load_toml

Tree = dict[str, Any]


class Layers:
    """A tree of values and, by dotted path, the origin of each leaf."""

    def __init__(self) -> None:
        self.tree: Tree = {}
        self.origins: dict[str, str] = {}

    def lay(self, values: Mapping[str, Any], origin: str) -> None:
        """Lay values on top; tables merge, leaves replace."""
        self._merge(self.tree, values, origin, "")

    def _merge(self, under: Tree, over: Mapping[str, Any], origin: str, path: str) -> None:
        for name, value in over.items():
            place = f"{path}{name}"
            if isinstance(value, Mapping):
                if not isinstance(under.get(name), dict):
                    under[name] = {}
                self._merge(under[name], value, origin, f"{place}.")
            else:
                under[name] = value
                self.origins[place] = origin

    def set(self, assignment: str, origin: str) -> None:
        """Lay one `path=value`."""
        path, sign, text = assignment.partition("=")
        names = path.strip().split(".")
        if not sign or not all(names):
            raise UsageError(f"--set {assignment!r} is not PATH=VALUE", "as in --set optim.lr=0.05")
        value: Any = parse_value(text.strip())
        for name in reversed(names):
            value = {name: value}
        self.lay(value, origin)


def parse_value(text: str) -> Any:
    """A value as TOML would read it, else the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def recipe_files(
    roots: Iterable[Path], dataset: str, space: str, method: str
) -> Iterator[tuple[Path, Tree]]:
    """The recipe files of a data set on a space, in the order they are laid.

    A folder `<dataset>@<space>` stands before `<dataset>`; a base may say `like = "<folder>"`.
    """
    places = [root / "recipes" for root in roots]
    for stem in ("base", method):
        for folder in reversed(_lineage(places, dataset, space)):
            path = folder / f"{stem}.toml"
            if path.is_file():
                values = load_toml(path)
                values.pop("like", None)
                yield path, values


def _lineage(places: list[Path], dataset: str, space: str) -> list[Path]:
    names: list[str] = [f"{dataset}@{space}", dataset, "folder"]
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
