"""One trained toy run, and one export of it, for all tests of this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ofa_bench import api
from ofa_bench.deploy.export.pipeline import ExportedModel
from ofa_bench.records.schema import Record

TOY: dict[str, Any] = {"method": "deps", "dataset": "digits", "space": "toy", "epochs": 1}
TOY |= {"set": ("evaluate.per_bucket=1", "evaluate.curve=0")}
NET = "smallest"


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("export") / "results"


@pytest.fixture(scope="session")
def trained(results: Path) -> Record:
    return api.run(**TOY, results=results)


@pytest.fixture(scope="session")
def exported(trained: Record, results: Path) -> ExportedModel:
    """The smallest subnet in the three exact formats; tests copy what they change."""
    return api.export(trained.run.id, NET, results.parent / "net", results=results)
