"""`ofa-bench plugin`, and what an author is told when a hook fails in a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ofa_bench.cli.main import main
from ofa_bench.testing.template import new_plugin

from .broken import BROKEN

Capture = pytest.CaptureFixture[str]
SMALL = ["--space", "toy", "--epochs", "1", "--lr", "cosine", "--distill", "labels"]


def broken(name: str, folder: Path) -> Path:
    (found,) = [each for each in BROKEN if each.name == name]
    path = folder / f"{name}_plugin.py"
    path.write_text(found.source)
    return path


def test_new_and_what_it_says(tmp_path: Path, capsys: Capture) -> None:
    assert main(["plugin", "new", "zig", "--kind", "lr", "--to", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert all(Path(file).is_file() for file in told["files"])


def test_check_tells_what_to_mend(tmp_path: Path, capsys: Capture) -> None:
    path = broken("misspelt", tmp_path)
    assert main(["plugin", "check", str(path)]) == 1
    told = capsys.readouterr().out
    assert "did you mean shrink_draws?" in told
    assert "misspelt_plugin.py:" in told


def test_explain(capsys: Capture) -> None:
    words = ["plugin", "explain", "--shrink", "delayed", "--lr", "cosine", "--distill", "inplace"]
    assert main([*words, "--space", "toy", "--epochs", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    answered = {row["hook"]: row["answered by"] for row in told["hooks"]}
    assert answered["shrink_draws"] == "shrink delayed"
    assert answered["distill_loss"] == "distill inplace"
    assert told["draws"]["joint"] == {"largest": 1, "smallest": 1, "sampled": 2}
    assert any("largest" in line for line in told["fit"])


def test_an_author_sees_his_own_line(tmp_path: Path, capsys: Capture) -> None:
    path = broken("crash", tmp_path)
    words = ["run", "--shrink", "crash", "--plugin", str(path), *SMALL]
    assert main([*words, "--results", str(tmp_path / "results")]) == 1
    told = capsys.readouterr().err
    assert "failed in shrink_draws at step 0 of phase 'all': KeyError: 'gone'" in told
    assert "{}['gone']" in told
    assert "docs/hooks.md" in told
    assert "engine/policies.py" not in told


def test_a_misspelt_hook_is_refused_before_a_run(tmp_path: Path, capsys: Capture) -> None:
    path = broken("misspelt", tmp_path)
    assert main(["plan", "--shrink", "misspelt", "--plugin", str(path), *SMALL]) == 1
    assert "did you mean shrink_draws?" in capsys.readouterr().err


def test_a_file_is_stored_by_its_source(tmp_path: Path, capsys: Capture) -> None:
    (path,) = new_plugin("stored", "shrink", tmp_path, single_file=True)
    words = ["run", "--shrink", "stored", "--plugin", str(path), *SMALL, "--json"]
    short = ["--set", "evaluate.per_bucket=1", "--set", "evaluate.curve=0"]
    assert main([*words, *short, "--results", str(tmp_path / "results")]) == 0
    policy = json.loads(capsys.readouterr().out)["method"]["shrink"]
    assert policy["distribution"] == str(path)
    assert "class Stored" in policy["source"]["text"]
    assert len(policy["source"]["hash"]) == 64
