"""`plugin new --kind board`: a repository whose checks hold, and which trusts no pull request."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ofa_bench import __version__
from ofa_bench.cli.main import main
from ofa_bench.errors import UsageError
from ofa_bench.testing.scaffold import new_plugin
from tests.records.forgery import record, results

yaml: Any = pytest.importorskip("yaml", reason="PyYAML is not installed")
Workflow = dict[str, Any]


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    new_plugin("my-board", "board", tmp_path)
    monkeypatch.chdir(tmp_path / "ofa-bench-my-board")
    monkeypatch.delenv("OFA_BENCH_RESULTS", raising=False)
    return tmp_path / "ofa-bench-my-board"


def workflow(board: Path, name: str) -> Workflow:
    loaded = yaml.safe_load((board / ".github" / "workflows" / name).read_text())
    loaded["on"] = loaded.pop(True)  # what YAML 1.1 makes of the word
    return loaded


def commands(flow: Workflow) -> list[list[str]]:
    """The command lines of ofa-bench in a workflow, without what a shell would fill in."""
    steps = [step for job in flow["jobs"].values() for step in job["steps"]]
    lines = [step["run"].replace("$", "") for step in steps if "run" in step]
    return [shlex.split(line)[1:] for line in lines if line.startswith("ofa-bench ")]


def test_strangers_get_no_token_that_writes(board: Path) -> None:
    check, publish = workflow(board, "check.yml"), workflow(board, "publish.yml")
    assert check["on"] == "pull_request"
    assert check["permissions"] == publish["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in check["jobs"].values())
    assert "pull_request" not in str(publish["on"])
    text = "".join(path.read_text() for path in (board / ".github").rglob("*.yml"))
    assert "secrets." not in text and "pull_request_target" not in text
    writing = [job for job in publish["jobs"].values() if "permissions" in job]
    assert [job["permissions"] for job in writing] == [{"pages": "write", "id-token": "write"}]
    assert [list(step) for step in writing[0]["steps"]] == [["id", "uses"]]
    for flow in (check, publish):
        for job in flow["jobs"].values():
            assert job["timeout-minutes"] <= 30
            for step in job["steps"]:
                assert "@v" in step.get("uses", "@v")
                if "checkout" in step.get("uses", ""):
                    assert step["with"]["persist-credentials"] is False
                assert "${{" not in step.get("run", ""), "a shell never sees a text of theirs"


def test_the_version_is_pinned(board: Path) -> None:
    assert f"\nofa-bench=={__version__}\n" in (board / "requirements.txt").read_text()
    assert not any("{{" in path.read_text() for path in board.glob("*") if path.is_file())


def test_an_empty_board_is_published(board: Path) -> None:
    for words in commands(workflow(board, "publish.yml"))[1:]:
        repository = [word.replace("REPOSITORY", "https://example.org/b") for word in words]
        assert main(repository) == 0, words
    assert "no records here yet" in (board / "public" / "index.html").read_text()


def test_records_are_checked_and_published(board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results(board / "results", "deps")
    assert main(["board"]) == 0  # as `compare` writes it for who submits
    lines = commands(workflow(board, "check.yml"))
    assert [words[0] for words in lines] == ["validate", "board", "site"]
    assert [main(words) for words in lines] == [0, 0, 0]
    values = json.loads(record(board / "results", "deps").read_text())
    values["summary"]["mean_pareto_accuracy"] += 1
    record(board / "results", "deps").write_text(json.dumps(values))
    assert [main(words) for words in lines[:2]] == [1, 1]
    assert "summary" in capsys.readouterr().out


def test_a_record_that_changes_is_refused(board: Path) -> None:
    """The workflow's own line, in a repository."""
    (line,) = [
        step["run"]
        for step in workflow(board, "check.yml")["jobs"]["records"]["steps"]
        if step.get("run", "").startswith("git ")
    ]

    def commit() -> int:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", "add", "-A"], cwd=board, check=True)
        subprocess.run(["git", *identity, "commit", "-qm", "x"], cwd=board, check=True)
        return subprocess.run(shlex.split(line), cwd=board, capture_output=True).returncode

    subprocess.run(["git", "init", "-q"], cwd=board, check=True)
    commit()
    for name in ("records/digits", "truth/run", "searches/run", "reproductions/digits/deps"):
        path = board / "results" / name / "a.json"
        path.parent.mkdir(parents=True)
        path.write_text("{}\r\n")
        assert commit() == 0
        path.write_text("{ }\r\n")
        assert commit() != 0
        path.unlink()
        assert commit() != 0
        kept = ["git", "show", f"HEAD~2:results/{name}/a.json"]
        assert subprocess.run(kept, cwd=board, capture_output=True).stdout == b"{}\r\n"


def test_folders_of_runs_are_refused(board: Path) -> None:
    steps = workflow(board, "check.yml")["jobs"]["records"]["steps"]
    (line,) = [step["run"] for step in steps if "results/runs" in step.get("run", "")]

    def code() -> int:
        return subprocess.run(["sh", "-c", line], cwd=board).returncode

    subprocess.run(["git", "init", "-q"], cwd=board, check=True)
    path = board / "results" / "runs" / "a" / "meter.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("{}\n")
    assert code() == 0, "it is there, and no part of the repository"
    subprocess.run(["git", "add", "-f", str(path)], cwd=board, check=True)
    assert code() != 0


def test_what_checks_has_owners(board: Path) -> None:
    lines = (board / ".github" / "CODEOWNERS").read_text().splitlines()
    owned = dict(line.split() for line in lines if not line.startswith("#"))
    assert owned == {"/.github/": "@OWNER", "/requirements.txt": "@OWNER"}
    assert "code owners" in (board / "README.md").read_text()


def test_it_is_no_single_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        new_plugin("mine", "board", tmp_path, single_file=True)
    assert refused.value.hint
