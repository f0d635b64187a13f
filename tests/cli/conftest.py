"""Commands called as the shell calls them, without a process for each."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ofa_bench.cli.main import main


@dataclass(frozen=True)
class Done:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)


Bench = Callable[..., Done]


@pytest.fixture
def bench(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bench:
    ours = ("OFA_BENCH_DEBUG", "OFA_BENCH_RESULTS", "OFA_BENCH_DATA")
    for variable in ("RANK", "WORLD_SIZE", *ours):
        monkeypatch.delenv(variable, raising=False)

    def call(*words: object) -> Done:
        capsys.readouterr()
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    return call


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"
