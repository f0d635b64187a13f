"""Source lines for verdicts: where a hook is defined, and which line is the likely cause."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ofa_bench.hooks.catalogue import API

Suspicion = Callable[[ast.AST], bool]
UNADDRESSED = ("random.", "np.random.", "numpy.random.", "torch.rand", "torch.normal", "os.urandom")
PROCESS = ("hash(", "id(", "os.getpid", "os.environ", "time.", "uuid.", "secrets.", "socket.")


def line_of(thing: Any, name: str = "") -> str:
    """ "file.py:12" of a class, or of its method; "" where that is not the author's code."""
    if inspect.isfunction(thing):
        return line_of_function(thing)
    cls = inspect.unwrap(thing) if inspect.isclass(thing) else type(thing)
    target = getattr(cls, name, None) if name else cls
    module = str(getattr(target, "__module__", "")).partition(".")[0]
    if target is None or module == "ofa_bench":
        return line_of(cls) if name else ""
    return line_of_function(target)


def line_of_function(function: Any) -> str:
    """ "file.py:12" of a function; "" where it has no file."""
    try:
        file = inspect.getsourcefile(function)
        return f"{Path(str(file)).name}:{inspect.getsourcelines(function)[1]}"
    except (OSError, TypeError):
        return ""


def suspect(cls: Any, looks_guilty: Suspicion) -> str:
    """The first line of a class, or else of its module, that `looks_guilty` accepts; "" if none."""
    for scope in (cls, cls if inspect.ismodule(cls) else inspect.getmodule(cls)):
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
    """A call of a global random generator."""
    return isinstance(node, ast.Call) and ast.unparse(node).startswith(UNADDRESSED)


def asks_the_process(node: ast.AST) -> bool:
    """A call whose value differs between processes or over time."""
    if isinstance(node, ast.Call | ast.Subscript):
        return ast.unparse(node).startswith(PROCESS)
    return False


def keeps_a_counter(node: ast.AST) -> bool:
    """An assignment to an attribute of self, or a change of a collection in one."""
    targets: list[ast.expr] = []
    if isinstance(node, ast.AugAssign):
        targets = [node.target]
    elif isinstance(node, ast.Assign):
        targets = node.targets
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        owner = ast.unparse(node.func.value)
        return owner.startswith("self.") and node.func.attr in ("append", "add", "update", "pop")
    return any(ast.unparse(target).startswith("self.") for target in targets)


def modifies_tensor(node: ast.AST) -> bool:
    """An in-place tensor method (`add_`), or an augmented assignment (`+=`)."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        name = node.func.attr
        return name.endswith("_") and not name.endswith("__")
    if isinstance(node, ast.AugAssign):
        return not ast.unparse(node.target).startswith("self.")
    return False


def imports_one_of(names: Sequence[str]) -> Suspicion:
    """An import of one of these libraries, or of a part of it."""

    def looks_guilty(node: ast.AST) -> bool:
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        return any(module.partition(".")[0] in names for module in modules)

    return looks_guilty


def syntax_error_line(error: BaseException | None) -> str:
    """ "file.py:12" of the syntax error that caused an error; "" if none did."""
    while error is not None and not isinstance(error, SyntaxError):
        error = error.__cause__
    return f"{Path(error.filename).name}:{error.lineno}" if error and error.filename else ""


def register_line(module: Any, file: str) -> str:
    """The line of a module's wrong `ofa_bench_api`, else of its `register`, else its first."""
    register = getattr(module, "register", None)
    if getattr(module, "ofa_bench_api", API) != API:
        return suspect(module, assigns_api)
    if inspect.isfunction(register):
        return f"{Path(inspect.getfile(register)).name}:{inspect.getsourcelines(register)[1]}"
    name = file or str(getattr(module, "__file__", None) or "")
    return f"{Path(name).name}:1" if name else ""


def assigns_api(node: ast.AST) -> bool:
    """The assignment of a module's `ofa_bench_api`."""
    return isinstance(node, ast.Name) and node.id == "ofa_bench_api"
