"""What `reproduce` keeps: evidence that a board marks, as far as it goes with its record."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from ofa_bench import api
from ofa_bench.cli.main import main
from ofa_bench.records.json_text import hash_without_itself, spell


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with one run that was reproduced."""
    torch.set_num_threads(1)
    results = tmp_path_factory.mktemp("results")
    sets = ("evaluate.per_bucket=1", "evaluate.buckets=1", "evaluate.curve=0")
    record = api.run(dataset="digits", space="toy", epochs=0.5, set=sets, results=results)
    assert main(["reproduce", record.run.id, "--results", str(results)]) == 0
    return results


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    for part in ("records", "reproductions", "boards"):
        shutil.copytree(made / part, tmp_path / part)
    return tmp_path


def kept(folder: Path) -> Path:
    (path,) = (folder / "reproductions").rglob("*.json")
    return path


def row(folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["board", "--json", "--results", str(folder)]) == 0
    (found,) = json.loads(capsys.readouterr().out)["rows"]
    return found


def test_a_reproduced_seed_marks_its_row(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = json.loads(kept(folder).read_text())
    assert values["verdict"] == "identical"
    (entry,) = row(folder, capsys)["reproduced"]
    assert entry["seed"] == 0 and entry["machines"]
    assert main(["board", "--check", "--results", str(folder)]) == 0
    for words in (["board"], ["board", "--format", "md"]):
        assert main([*words, "--results", str(folder)]) == 0
        out = capsys.readouterr().out
        assert "✓" in out and "seed 0 was reproduced" in out
    page = folder / "page.html"
    assert main(["report", "-o", str(page), "--results", str(folder)]) == 0
    assert "seed 0 was reproduced" in page.read_text()
    capsys.readouterr()
    assert main(["validate", str(folder)]) == 0
    assert "2 of 2 records and reproductions hold" in capsys.readouterr().out


@pytest.mark.parametrize("sealed", [False, True], ids=["unsealed", "sealed"])
@pytest.mark.parametrize(
    "change",
    [
        {"record": "ab" * 32},
        {"run_id": "ab" * 32},
        {"verdict": "not reproduced"},
        {"rerun": "weights"},
        {"verdict": "within interval", "interval": {"low": 0.0, "high": 0.1, "source": "x"}},
    ],
    ids=["other record", "other run", "not reproduced", "other weights", "outside"],
)
def test_what_does_not_go_with_the_record_marks_nothing(
    change: dict[str, Any], sealed: bool, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = kept(folder)
    values = json.loads(path.read_text())
    if change == {"rerun": "weights"}:
        values["rerun"]["weights_sha256"] = "ab" * 32
    else:
        values |= change
    if sealed:
        values["sha256"] = hash_without_itself(values)
    path.write_text(spell(values))
    assert "reproduced" not in row(folder, capsys)
    if not sealed:
        assert main(["validate", str(path)]) == 1


def test_no_reproduction_no_mark(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(folder / "reproductions")
    assert "reproduced" not in row(folder, capsys)
    assert main(["board", "--check", "--results", str(folder)]) == 0


def test_junk_in_the_folder_breaks_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    beside = kept(folder).parent
    (beside / "a.json").write_text("{")
    (beside / "b.json").write_text('{"schema": ' + "[" * 5000 + "]" * 5000 + "}")
    (beside / "c.json").write_bytes(b"\xff\xfe")
    assert row(folder, capsys)["reproduced"]
    assert main(["validate", str(folder)]) == 1
