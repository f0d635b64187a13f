"""Run identity: a hash of the training configuration, the code and the data."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CORE = ("ofa_bench", "torch", "torchvision", "pydantic", "numpy")
NUMERICS = "1"  # raised when the engine's arithmetic changes, so that nothing stale is pooled


@dataclass(frozen=True)
class CodeSource:
    """The code behind a policy, extra or network."""

    hash: str
    text: str


def canonical(value: Any) -> str:
    """JSON with one spelling, so that equal values have equal hashes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256(text: str) -> str:
    """Hex SHA-256 of a text; a path may hold bytes that are no UTF-8."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def source_of(thing: object) -> CodeSource:
    """The source of an object's class (or of a function) and the hash of the code behind it.

    The hash covers the modules of the class and of its bases, and those of their packages that
    they import; of a notebook's class, the class itself.
    """
    cls = thing if inspect.isclass(thing) or inspect.isfunction(thing) else type(thing)
    try:
        text = inspect.getsource(cls)
    except (OSError, TypeError):
        text = f"# source of {getattr(cls, '__qualname__', cls)} is not available\n"
    bases = {base.__module__ for base in getattr(cls, "__mro__", (cls,)) if _ours(base.__module__)}
    files = neighbours({*bases, cls.__module__} - {"__main__"}).values()
    trees = [syntax(path.read_text(encoding="utf-8")) for path in files] or [syntax(text)]
    return CodeSource(sha256("\n".join(trees)), text)


def package_hash(name: str) -> str:
    """The hash of a package's syntax trees, without importing it."""
    spec = importlib.util.find_spec(name)
    roots = list(spec.submodule_search_locations or []) if spec else []
    files = [path for root in roots for path in sorted(Path(root).rglob("*.py"))]
    return sha256("\n".join(syntax(path.read_text(encoding="utf-8")) for path in files))


def neighbours(modules: Iterable[str]) -> dict[str, Path]:
    """The files of modules and of those in their packages that they import, however indirectly."""
    files: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = _file(name)
        if name in files or path is None:
            continue
        files[name] = path
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for base, part in _imported(tree, package):
            if _beside(base, name):
                inner = f"{base}.{part}"
                waiting.append(inner if part and _file(inner) else base)
    return dict(sorted(files.items()))


def _file(module: str) -> Path | None:
    loaded = sys.modules.get(module)
    origin = getattr(loaded, "__file__", None)
    if loaded is None:
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError):
            return None
        origin = spec.origin if spec else None
    return Path(origin) if origin and origin.endswith(".py") else None


def _imported(tree: ast.AST, package: str) -> Iterator[tuple[str, str]]:
    """Each import's module, and the name taken from it, which may be a module too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = package.rsplit(".", node.level - 1)[0] if node.level else ""
            base = ".".join(filter(None, (parent, node.module)))
            yield from ((base, alias.name) for alias in node.names)


def _beside(module: str, other: str) -> bool:
    """Whether two modules belong to the same plugin."""
    return module.partition(".")[0] == other.partition(".")[0] and _ours(module)


def _ours(module: str) -> bool:
    """Whether a module belongs to a plugin: the core is identified by its numerics version,
    libraries by their release."""
    top = module.partition(".")[0]
    return top not in CORE and top not in sys.stdlib_module_names


@functools.lru_cache(maxsize=256)
def syntax(text: str) -> str:
    """A module's syntax tree without docstrings: comments and layout do not change identity."""
    import textwrap

    tree = ast.parse(textwrap.dedent(text))
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


def hashed_science(
    science: Mapping[str, Any], space: str, acting: Iterable[str], files: Mapping[str, str]
) -> dict[str, Any]:
    """The values hashed into a row id: the science dump with the space by name instead of path,
    only extras that affect training, and the hashes of initial weights."""
    return {**science, "space": space, **files, "extras": list(acting)}


def row_id(
    science: Mapping[str, Any], sources: Iterable[str], data: str, numerics: str = NUMERICS
) -> str:
    """Identity of a row: science without seed, code, data set bytes, numerics version."""
    return sha256(canonical([science, sorted(sources), data, numerics]))


def run_id(row: str, seed: int) -> str:
    return sha256(canonical([row, seed]))


def decoder_id(name: str, version: str, jpeg: str) -> str:
    """An id of the image decoder: library, major version and JPEG library. Minor releases decode to
    the same pixels and share an id."""
    return f"{name} {version.partition('.')[0]}, {jpeg.partition(' ')[0]}"


def difference(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """The differences between two nested mappings, one line each."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        lines: list[str] = []
        for name in sorted({*ours, *theirs}):
            lines += difference(ours.get(name), theirs.get(name), f"{path}{name}.")
        return lines
    same = canonical(ours) == canonical(theirs)
    return [] if same else [f"{path[:-1]}: {theirs!r} there, {ours!r} here"]
