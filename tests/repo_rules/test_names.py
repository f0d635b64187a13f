"""Names say what they hold, and say it once."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VAGUE = {"told", "found", "given", "said", "place", "own", "everyone", "company"}
KEPT = {  # the source's hash is the identity of committed records
    ("plugins/ofa_bench_compofa/shrink.py", "place"),
}
MODULES = sorted([*(ROOT / "ofa_bench").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")])
PORTABLE = (
    ["--help"],
    ["list", "methods"],
    ["plan", "--steps", "0"],
    ["board", "digits"],
    ["validate", "results/records/digits"],
    ["report", "digits", "-o"],
)


def test_no_two_public_types_share_a_name() -> None:
    homes = defaultdict(list)
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


def names_in(tree: ast.AST) -> set[str]:
    """Variables, arguments, attributes, functions and classes."""
    fields = {ast.Name: "id", ast.arg: "arg", ast.keyword: "arg", ast.Attribute: "attr"}
    fields |= dict.fromkeys((ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef), "name")
    nodes = [node for node in ast.walk(tree) if type(node) in fields]
    return {str(getattr(node, fields[type(node)])).strip("_") for node in nodes}


def test_names_are_nouns_for_what_they_hold() -> None:
    vague = {
        (str(path.relative_to(ROOT)), name)
        for path in MODULES
        for name in VAGUE & names_in(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert vague == KEPT


@pytest.mark.parametrize("words", PORTABLE, ids=lambda words: words[0])
def test_reading_needs_nothing_that_only_linux_has(words: list[str], tmp_path: Path) -> None:
    """As on Windows: no fcntl, no resource limits, no C library to ask."""
    if words[-1] == "-o":
        words = [*words, str(tmp_path / "page.html")]
    code = (
        "import sys; sys.modules.update(fcntl=None, resource=None); "
        f"from ofa_bench.cli.main import main; sys.exit(main({words!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
