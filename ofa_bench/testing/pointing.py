"""Pointing at a line: where a hook is defined, and which line of a class looks like the cause."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

Suspicion = Callable[[ast.AST], bool]
UNADDRESSED = ("random.", "np.random.", "numpy.random.", "torch.rand", "torch.normal", "os.urandom")
PROCESS = ("hash(", "id(", "os.getpid", "os.environ", "time.", "uuid.", "secrets.", "socket.")


def line_of(thing: Any, name: str = "") -> str:
    """ "file.py:12" of a class, or of its method; "" where that is not the author's code."""
    cls = inspect.unwrap(thing) if inspect.isclass(thing) else type(thing)
    found = getattr(cls, name, None) if name else cls
    module = str(getattr(found, "__module__", "")).partition(".")[0]
    if found is None or module == "ofa_bench":
        return line_of(cls) if name else ""
    try:
        file = inspect.getsourcefile(found)
        return f"{Path(str(file)).name}:{inspect.getsourcelines(found)[1]}"
    except (OSError, TypeError):
        return ""


def suspect(cls: Any, looks_guilty: Suspicion) -> str:
    """The first line of a class, or else of its module, that a suspicion falls on."""
    for scope in (cls, inspect.getmodule(cls)):
        try:
            lines, first = inspect.getsourcelines(scope)  # type: ignore[arg-type]
            tree = ast.parse(textwrap.dedent("".join(lines)))
            file = Path(str(inspect.getsourcefile(scope))).name  # type: ignore[arg-type]
        except (OSError, TypeError, SyntaxError):
            continue
        for node in ast.walk(tree):
            if looks_guilty(node):
                return f"{file}:{max(first, 1) + getattr(node, 'lineno', 1) - 1}"
    return ""


def draws_unaddressed(node: ast.AST) -> bool:
    """A call of a generator that all share."""
    return isinstance(node, ast.Call) and ast.unparse(node).startswith(UNADDRESSED)


def asks_the_process(node: ast.AST) -> bool:
    """Something that differs from process to process, or from moment to moment."""
    if isinstance(node, ast.Call | ast.Subscript):
        return ast.unparse(node).startswith(PROCESS)
    return False


def keeps_a_counter(node: ast.AST) -> bool:
    """An assignment to an attribute, or a list that grows."""
    targets: list[ast.expr] = []
    if isinstance(node, ast.AugAssign):
        targets = [node.target]
    elif isinstance(node, ast.Assign):
        targets = node.targets
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        owner = ast.unparse(node.func.value)
        return owner.startswith("self.") and node.func.attr in ("append", "add", "update", "pop")
    return any(ast.unparse(target).startswith("self.") for target in targets)


def edits_in_place(node: ast.AST) -> bool:
    """A tensor method that ends in one underscore, or an assignment through an operator."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        name = node.func.attr
        return name.endswith("_") and not name.endswith("__")
    if isinstance(node, ast.AugAssign):
        return not ast.unparse(node.target).startswith("self.")
    return False
