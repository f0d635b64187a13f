"""Identity: what a run is, as a hash of its science, its code and its data."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NUMERICS = "1"  # raised when the engine's arithmetic changes, so that nothing stale is pooled


@dataclass(frozen=True)
class Source:
    """The code behind a policy, extra or network."""

    hash: str
    text: str


def canonical(value: Any) -> str:
    """JSON with one spelling, so that equal values have equal hashes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256(text: str) -> str:
    """Hex SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def source_of(thing: object) -> Source:
    """The source of an object's class (or of a function) and the hash of the code behind it.

    The hash covers every module of the plugin's package, since a class leans on its neighbours;
    of a notebook's class, the class itself.
    """
    cls = thing if inspect.isclass(thing) or inspect.isfunction(thing) else type(thing)
    try:
        text = inspect.getsource(cls)
    except (OSError, TypeError):
        text = f"# source of {getattr(cls, '__qualname__', cls)} is not available\n"
    files = _package_files(cls.__module__)
    trees = [syntax(path.read_text(encoding="utf-8")) for path in files] or [syntax(text)]
    return Source(sha256("\n".join(trees)), text)


def package_hash(name: str) -> str:
    """The hash of a package's syntax trees, without importing it."""
    spec = importlib.util.find_spec(name)
    places = list(spec.submodule_search_locations or []) if spec else []
    files = [path for place in places for path in sorted(Path(place).rglob("*.py"))]
    return sha256("\n".join(syntax(path.read_text(encoding="utf-8")) for path in files))


def _package_files(module: str) -> list[Path]:
    top = sys.modules.get(module.partition(".")[0])
    found = sys.modules.get(module)
    if found is None or module == "__main__":
        return []
    if top is not None and hasattr(top, "__path__") and not module.startswith("ofa_bench."):
        return [path for place in top.__path__ for path in sorted(Path(place).rglob("*.py"))]
    file = getattr(found, "__file__", None)
    return [Path(file)] if file else []


def syntax(text: str) -> str:
    """A module's syntax tree without docstrings: comments and layout do not change identity."""
    import textwrap

    tree = ast.parse(textwrap.dedent(text))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
    return ast.dump(tree)


def row_id(science: Mapping[str, Any], sources: Iterable[str], data: str) -> str:
    """Identity of a row: science without seed, code, data set bytes, numerics version."""
    return sha256(canonical([science, sorted(sources), data, NUMERICS]))


def run_id(row: str, seed: int) -> str:
    """Identity of a run: its row and its seed."""
    return sha256(canonical([row, seed]))


def difference(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """Where two nested descriptions differ, a line each."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        lines: list[str] = []
        for name in sorted({*ours, *theirs}):
            lines += difference(ours.get(name), theirs.get(name), f"{path}{name}.")
        return lines
    same = canonical(ours) == canonical(theirs)
    return [] if same else [f"{path[:-1]}: {theirs!r} there, {ours!r} here"]
