"""A Python environment made offline: links to the packages that are installed here."""

from __future__ import annotations

import importlib.util
import venv
from pathlib import Path

import pytest


def bare_environment(folder: Path) -> Path:
    """A Python that has numpy and onnxruntime, and nothing else that is not its own."""
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = {path.resolve() for path in folder.glob("lib*/python*/site-packages")}
    for name in ("numpy", "onnxruntime"):
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            pytest.skip(f"{name} is not installed")
        package = Path(spec.submodule_search_locations[0])
        (site / name).symlink_to(package)
        for libraries in package.parent.glob(f"{name}.libs"):
            (site / libraries.name).symlink_to(libraries)
    return folder / "bin" / "python"
