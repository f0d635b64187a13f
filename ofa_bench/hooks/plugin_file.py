"""Single-file plugins: a .py file named by the user is imported once per process."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from ofa_bench.atomic_io import sha256_file
from ofa_bench.errors import UsageError
from ofa_bench.hooks.catalogue import Origin

_LOADED: dict[tuple[str, str], ModuleType] = {}  # modules of plugin files, by path and bytes


def load_file(path: Path) -> tuple[object, Origin]:
    """Import a single-file plugin; it is executed once per process unless its bytes change.

    Raises UsageError if the file is missing or its import fails.
    """
    if not path.is_file():
        raise UsageError(f"there is no plugin file {path}", "give --plugin the path of a .py file")
    name, known = path.stem.replace("-", "_"), (str(path.resolve()), sha256_file(path))
    if name in sys.stdlib_module_names:
        raise UsageError(
            f"plugin file {path} has the name of a module of Python", "give it a name of its own"
        )
    if known in _LOADED:
        sys.modules[name] = _LOADED[known]
        return _LOADED[known], Origin(name, file=str(path))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file", "give --plugin the path of a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        raise UsageError(
            f"plugin file {path} does not import: {type(error).__name__}: {error}",
            "fix it; OFA_BENCH_DEBUG=1 shows where it fails",
        ) from error
    _LOADED[known] = module
    return module, Origin(name, file=str(path))
