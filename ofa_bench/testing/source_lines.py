"""Source lines for verdicts: where a class, a hook or a statement of a plugin stands."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from ofa_bench.hooks.catalogue import API


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


def line_with(pattern: str, file: str) -> str:
    """ "file.py:12" of the first line of a file that begins so, else of its first line."""
    lines = Path(file).read_text(encoding="utf-8", errors="replace").splitlines()
    number = next((n for n, text in enumerate(lines, 1) if re.match(pattern, text)), 1)
    return f"{Path(file).name}:{number}"


def syntax_error_line(error: BaseException | None) -> str:
    """ "file.py:12" of the syntax error that caused an error; "" if none did."""
    while error is not None and not isinstance(error, SyntaxError):
        error = error.__cause__
    return f"{Path(error.filename).name}:{error.lineno}" if error and error.filename else ""


def register_line(module: Any, file: str) -> str:
    """The line of a module's wrong `ofa_bench_api`, else of its `register`, else its first."""
    register = getattr(module, "register", None)
    wrong_api = getattr(module, "ofa_bench_api", API) != API
    if not wrong_api and inspect.isfunction(register):
        return line_of_function(register)
    path = file or str(getattr(module, "__file__", None) or "")
    return line_with("ofa_bench_api" if wrong_api else "", path) if path else ""
