"""A run in a space of the user's own: its record holds anywhere, since the table is in it."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest
import torch

from ofa_bench.cli.main import main
from ofa_bench.records.store import read
from ofa_bench.runs.record_checks import plan_of
from ofa_bench.spec_files import specs_root
from tests.records.forgery import sealed_text


@pytest.fixture(scope="module", params=["mine", "toy"], ids=["own name", "a shipped one's name"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of one run in a space that only this folder had, and has no more."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("own")
    table = folder / f"{request.param}.toml"
    text = (specs_root() / "spaces" / "toy.toml").read_text()
    table.write_text(text.replace("[8, 16, 24]", "[8, 16, 32]"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = ["run", "--dataset", "digits", "--space", f"./{table.name}", "--epochs", "1"]
        words += ["--set", "evaluate.per_bucket=1", "--set", "evaluate.curve=0"]
        assert main([*words, "--results", "results"]) == 0
        assert main(["validate", "results"]) == 0
        assert main(["records", "export", "track.zip", "--results", "results"]) == 0
    shutil.rmtree(folder / "results")
    table.unlink()
    return folder / "track.zip"


def test_it_is_taken_in_and_ranked_elsewhere(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = ["--results", str(tmp_path)]
    assert main(["records", "import", str(bundle), *there]) == 0
    assert main(["validate", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["board", "--json", *there]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["n"] for row in found["rows"]] == [1] and found.get("unranked", []) == []
    assert main(["board", *there]) == 0
    (more,) = [line for line in capsys.readouterr().out.splitlines() if "more seeds: " in line]
    words = shlex.split(more.partition(": ")[2])
    assert words[words.index("--results") + 1] == str(tmp_path) and words.count("--results") == 1


def test_it_is_made_again_from_the_table_in_the_record(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = ["--results", str(tmp_path)]
    assert main(["records", "import", str(bundle), *there]) == 0
    (path,) = tmp_path.rglob("records/*/*/*.json")
    assert not isinstance(plan_of(read(path)), str)
    capsys.readouterr()
    assert main(["reproduce", str(path), "--json", *there]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "identical"


def test_its_costs_are_recomputed_from_the_table(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["records", "import", str(bundle), "--results", str(tmp_path)]) == 0
    (path,) = tmp_path.rglob("records/*/*/*.json")
    values = json.loads(path.read_text())
    values["task"]["space"]["table"]["rows"][2]["width"] = 64
    path.write_text(sealed_text(values))
    capsys.readouterr()
    assert main(["validate", str(path)]) == 1
    out = capsys.readouterr().out
    assert "scores.0.macs" in out and "fingerprint" in out


def test_validate_reads_records_below_a_results_folder_and_says_what_it_skipped(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["records", "import", str(bundle), "--results", str(tmp_path)]) == 0
    assert main(["board", "--results", str(tmp_path)]) == 0
    begun = tmp_path / "runs" / "begun" / "run.json"
    begun.parent.mkdir(parents=True)
    begun.write_text("{}")
    capsys.readouterr()
    assert main(["validate", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert "1 of 1 records hold" in captured.out
    assert "boards/" in captured.err and "runs/" in captured.err
