"""The house's rules, held on syntax trees: docstrings and messages may say what they like."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ofa_bench
from ofa_bench.hookspecs import CatalogueSpec, TrainingSpec, hook_names

ROOT = Path(__file__).resolve().parents[2]
CORE = sorted((ROOT / "ofa_bench").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))
LEVELS = [
    {
        "errors",
        "files",
        "hardware",
        "keys",
        "limits",
        "locks",
        "numbers",
        "processes",
        "sanitize",
        "specs",
        "strict",
    },
    {"space"},
    {"draws", "schedule"},
    {"hookspecs", "policy"},
    {"catalogue", "plugin_file", "recipe"},
    {"losses", "nets", "data", "records"},
    {"evaluate", "deploy", "report"},
    {"engine"},
    {"runs"},
    {"api"},
    {"ablation", "testing"},
    {"cli", "__main__"},
]
LEVEL = {name: number for number, names in enumerate(LEVELS) for name in names}


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


def part(path: Path) -> str:
    return path.relative_to(ROOT / "ofa_bench").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", CORE, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down_only(path: Path) -> None:
    if part(path) == "__init__":
        return
    here = LEVEL[part(path)]
    for name, typed in imports(path):
        words = name.split(".")
        if words[0] != "ofa_bench" or typed or len(words) < 2 or words[1] not in LEVEL:
            assert words[0] not in ("click", "rich") or part(path) in ("cli", "__main__"), name
            continue
        assert LEVEL[words[1]] <= here, f"{path} imports {name}"


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
    methods = {"ofa", "compofa", "bignas", "bignas-port", "deps"}
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


def test_torch_free_parts_stay_so() -> None:
    code = (
        "import sys, ofa_bench.api, ofa_bench.engine.assemble, ofa_bench.records.store, "
        "ofa_bench.recipe, ofa_bench.cli.main; "
        "print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False", "False"]
