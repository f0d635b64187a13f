"""The house's rules, held on syntax trees: docstrings and messages may say what they like."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ofa_bench
from ofa_bench.hooks.hookspecs import CatalogueSpec, TrainingSpec, hook_names

ROOT = Path(__file__).resolve().parents[2]
CORE = sorted((ROOT / "ofa_bench").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))
ROW = re.compile(r"^\| (`[a-z_.` ]+`) \|.*\| (yes|no) \|$")


def layers() -> list[tuple[list[str], bool]]:
    """The rows of the table in docs/architecture.md: packages, and whether they may use torch."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = [match for line in text.splitlines() if (match := ROW.match(line))]
    return [(row[1].replace("`", "").split(), row[2] == "yes") for row in rows]


LAYERS = layers()
LEVEL = {name: level for level, (names, _) in enumerate(LAYERS) for name in names}
LEVEL["__main__"] = len(LAYERS)


def level(module: str) -> int | None:
    """The layer of a module's dotted name below `ofa_bench`; None where it has none."""
    words = module.split(".")
    return LEVEL.get(".".join(words[:2]), LEVEL.get(words[0]))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Modules a file imports, and whether only for types."""
    module = tree(path)
    typed = {
        id(inner)
        for node in ast.walk(module)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in typed) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            door = node.module == "ofa_bench"
            for alias in node.names:
                yield (f"ofa_bench.{alias.name}" if door else node.module), id(node) in typed


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT / "ofa_bench").with_suffix("").parts)


@pytest.mark.parametrize("path", CORE, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down_only(path: Path) -> None:
    here = level(dotted(path))
    if dotted(path) == "__init__":
        return
    assert here is not None, f"{path} has no row in docs/architecture.md"
    for name, typed in imports(path):
        top, _, rest = name.partition(".")
        assert top not in ("click", "rich") or here >= LEVEL["cli"], f"{path} imports {name}"
        there = level(rest) if top == "ofa_bench" else None
        assert there is None or typed or there <= here, f"{path} imports {name}"


def test_no_package_is_crowded() -> None:
    for folder in {path.parent for path in CORE}:
        modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(modules) <= 16, f"{folder} has {len(modules)} modules"


def test_plugins_use_the_public_door() -> None:
    for path in PLUGINS:
        own = path.parent.name
        for name, typed in imports(path):
            top = name.split(".")[0]
            if top == "torch":
                assert typed, f"{path} imports torch"
            elif top == "ofa_bench":
                assert name.split(".")[1] in ofa_bench.__all__, f"{path}: {name} is not public"
            else:
                assert not top.startswith("ofa_bench_") or top == own, f"{path} imports {name}"


def test_only_devices_knows_of_ranks() -> None:
    for path in CORE:
        if path.name == "devices.py":
            continue
        assert not any("torch.distributed" in name for name, _ in imports(path)), path
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Attribute):
                assert ast.unparse(node) != "torch.distributed", path


def test_no_method_name_in_the_core() -> None:
    methods = {"ofa", "compofa", "bignas", "bignas-port", "deps", "random-subnet", "spos"}
    methods |= {"fairnas", "attentivenas", "attentivenas-worst", "alphanet", "nasvit"}
    for path in CORE:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Constant):
                assert node.value not in methods, f"{path}:{node.lineno}"


def test_sizes() -> None:
    for path in [*CORE, *PLUGINS]:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 300, path
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert (node.end_lineno or 0) - node.lineno <= 45, f"{path}:{node.name}"


def test_public_door_is_sorted() -> None:
    assert ofa_bench.__all__ == sorted(ofa_bench.__all__)
    assert all(hasattr(ofa_bench, name) for name in ofa_bench.__all__)


def test_every_hook_is_documented() -> None:
    text = (ROOT / "docs" / "hooks.md").read_text(encoding="utf-8")
    for spec in (CatalogueSpec, TrainingSpec):
        for hook in hook_names(spec):
            code = getattr(spec, hook).__code__
            names = ", ".join(code.co_varnames[1 : code.co_argcount])
            assert f"`{hook}({names})`" in text, hook


def test_rows_without_torch_import_none() -> None:
    free = [names for names, torch in LAYERS if not torch]
    modules = [
        f"ofa_bench.{dotted(path)}"
        for path in CORE
        if any(level(dotted(path)) == LEVEL[names[0]] for names in free)
        and path.name not in ("__init__.py", "__main__.py")
    ]
    code = f"import importlib, sys; [importlib.import_module(m) for m in {modules}]; "
    code += "print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
