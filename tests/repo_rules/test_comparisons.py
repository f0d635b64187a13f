"""Every declared comparison is one that `compare` can run."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import click
import pytest

from ofa_bench import api
from ofa_bench.cli.commands.training.compare import command
from ofa_bench.cli.comparison import requests
from ofa_bench.cli.options import asked_of

FILES = sorted((Path(__file__).resolve().parents[2] / "specs" / "comparisons").glob("*.toml"))


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_it_assembles(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []

    def conduct(ctx: click.Context, every: list[dict[str, Any]], *others: Any) -> None:
        seen.extend(every)

    monkeypatch.setattr("ofa_bench.cli.commands.training.compare.conduct", conduct)
    command.main([file.stem, "--seeds", "1"], standalone_mode=False)
    told = tomllib.loads(file.read_text())
    assert len(seen) == len(told.get("rows", told.get("methods")))
    science = [api.plan(**vars(asked_of(each))).science for each in seen]
    assert len({each.model_dump_json() for each in science}) == len(seen)


def test_there_are_some() -> None:
    assert len(FILES) >= 8
    assert requests({}, ("deps",), (0,), [])
