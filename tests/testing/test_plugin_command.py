"""`ofa-bench plugin`, and what an author is told when a hook fails in a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ofa_bench.cli.main import main
from ofa_bench.testing.scaffold import new_plugin

from .broken import BROKEN

Capture = pytest.CaptureFixture[str]
SMALL = ["--space", "toy", "--epochs", "1", "--lr", "cosine", "--distill", "labels"]

OBSERVER = """from ofa_bench import hookimpl

class Boom:
    @hookimpl
    def after_step(self, step):
        raise ValueError("boom")

@hookimpl
def register(catalogue):
    catalogue.extra("boom", Boom)
"""


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
    why = {row["hook"]: row["why"] for row in told["hooks"]}
    assert why["lr_at"] == "--lr"
    assert [rate["step"] for rate in told["rates"]][-1] == told["phases"][-1]["last_step"]
    assert len(told["rates"]) > 12
    cost = {row["role"]: row for row in told["cost"]}
    assert cost.keys() == {"largest", "smallest", "sampled"}
    assert sum(row["macs"] for row in cost.values()) == told["macs"]
    assert told["calls"] == {}


def test_explain_traces(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFA_BENCH_TRACE", "1")
    assert main(["plugin", "explain", "--space", "toy", "--epochs", "2", "--json"]) == 0
    said = capsys.readouterr()
    calls = json.loads(said.out)["calls"]
    assert calls["shrink_draws"]["calls"] == 2
    assert said.err.count("shrink_draws of shrink: ") == 2


def test_a_run_traces(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFA_BENCH_TRACE", "1")
    words = ["run", "--space", "toy", "--epochs", "0.2", "--results", str(tmp_path)]
    assert main([*words, "--set", "evaluate.per_bucket=1", "--set", "evaluate.curve=0"]) == 0
    told = capsys.readouterr().err
    assert "distill_loss of distill: " in told
    assert " µs" in told


def test_list_takes_a_file(tmp_path: Path, capsys: Capture) -> None:
    (path,) = new_plugin("listed", "lr", tmp_path, single_file=True)
    assert main(["list", "--plugin", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert "listed" in [row["name"] for row in told["lr"]]
    assert told["plugins"][-1] == {
        "name": "listed",
        "status": "loaded",
        "distribution": str(path),
        "version": "",
        "reason": "",
    }


def test_an_observer_that_fails_is_named(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "boom.py"
    path.write_text(OBSERVER)
    words = ["run", "--with", "boom", "--plugin", str(path), "--space", "toy", "--epochs", "0.2"]
    assert main([*words, "--results", str(tmp_path / "results")]) == 0  # it only watches
    told = capsys.readouterr().err
    assert "boom (" in told
    assert "failed in after_step at step 0 of phase 'warm': ValueError: boom (boom.py:6" in told


def test_an_author_sees_his_own_line(tmp_path: Path, capsys: Capture) -> None:
    path = broken("crash", tmp_path)
    words = ["run", "--shrink", "crash", "--plugin", str(path), *SMALL]
    assert main([*words, "--results", str(tmp_path / "results")]) == 1
    told = capsys.readouterr().err
    assert "failed in shrink_draws at step 0 of phase 'all': KeyError: 'gone'" in told
    assert "{}['gone']" in told
    assert "docs/hooks.md" in told
    assert "hooks/bus.py" not in told


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
