"""A stranger's distribution, installed where only these tests see it; no network is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import preloaded

HERE = Path(__file__).parent
Call = Callable[..., subprocess.CompletedProcess[str]]


def install(target: Path, *distributions: Path) -> dict[str, str]:
    """An environment that also has these distributions."""
    words = ["-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps", "--no-index"]
    command = [sys.executable, *words, "--target", str(target), *map(str, distributions)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    paths = [str(target), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def caller(env: dict[str, str], folder: Path) -> Call:
    """Call ofa-bench in such an environment."""

    def call(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ofa_bench", *map(str, words)]
        return preloaded.run(command, env=env, cwd=folder, timeout=600)

    return call


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Call:
    """ofa-bench with the stranger installed."""
    folder = tmp_path_factory.mktemp("strangers")
    env = install(folder / "site", *sorted(HERE.glob("ofa-bench-*")))
    return caller(env, folder)
