"""Code runs, and files are written, only on the word of the person at this command line."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from ofa_bench import BenchError, UsageError, api
from ofa_bench.cli.main import main
from ofa_bench.errors import ResumeError
from ofa_bench.records.schema import plain, sealed
from ofa_bench.records.store import Store

SMALL = ("evaluate.per_bucket=1", "evaluate.buckets=1", "evaluate.curve=0")
TINY = ["--space", "toy", "--epochs", "0.2", *(word for s in SMALL for word in ("--set", s))]
PLUGIN = """
from pathlib import Path
from ofa_bench import Draw, Options, Phase, Role, ShrinkPolicy, hookimpl

with Path(__file__).with_suffix(".ran").open("a") as stream:
    stream.write("x")

class Pair(ShrinkPolicy[Options]):
    def shrink_phases(self, space, budget):
        return [Phase("pair", space, budget.epochs, {Role.SAMPLED: 2})]

    def shrink_draws(self, step):
        space = step.phase.space
        return [Draw(space.sample(step.draw_rng(n)), Role.SAMPLED) for n in range(2)]

@hookimpl
def register(catalogue):
    catalogue.shrink("pair", Pair)
"""


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.delenv("OFA_BENCH_RESULTS", raising=False)


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.py"
    path.write_text(PLUGIN)
    return path


def executions(plugin: Path) -> int:
    mark = plugin.with_suffix(".ran")
    return len(mark.read_text()) if mark.exists() else 0


def contents(path: Path) -> object:
    return sorted(path.iterdir()) if path.is_dir() else path.read_text()


def call(*words: object) -> int:
    return main([str(word) for word in words])


def ran(plugin: Path, results: Path) -> Path:
    """The folder of a finished run whose shrink policy is a file's."""
    words = ["run", *TINY, "--shrink", "pair", "--lr", "cosine", "--distill", "labels"]
    assert call(*words, "--plugin", plugin, "--results", results) == 0
    (folder,) = (results / "runs").iterdir()
    return folder


def edited(folder: Path, **request: Any) -> None:
    """Somebody else's run.json: other values of the request."""
    path = folder / "run.json"
    values = json.loads(path.read_text())
    values["request"] |= request
    path.write_text(json.dumps(values))


def test_a_plugin_file_is_executed_once_a_run(plugin: Path, tmp_path: Path) -> None:
    ran(plugin, tmp_path / "results")
    assert executions(plugin) == 1


@pytest.mark.parametrize("command", [["resume"], ["evaluate", "--subnet", "largest"]], ids=str)
def test_a_folder_does_not_have_its_code_executed(
    command: list[str], plugin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ran(plugin, tmp_path / "results")
    other = tmp_path / "other.py"
    other.write_text(PLUGIN + "\n# other bytes\n")
    edited(folder, plugins=[str(other)])
    capsys.readouterr()
    assert call(*command, folder) == 2
    words = capsys.readouterr().err
    assert "run.json" in words
    assert "request.plugins" in words
    assert f"--plugin {other}" in words
    assert call(*command, folder, "--trust") == 2  # not the file that the folder has a hash of
    assert executions(other) == 0
    for trusting in (["--plugin", str(plugin)],):
        assert call(*command, folder, *trusting) == 0


@pytest.mark.parametrize("command", [["resume"], ["evaluate", "--subnet", "largest"]], ids=str)
def test_trust_takes_the_file_that_the_run_began_with(
    command: list[str], plugin: Path, tmp_path: Path
) -> None:
    folder = ran(plugin, tmp_path / "results")
    assert call(*command, folder, "--trust") == 0
    plugin.write_text(PLUGIN.replace('"x"', '"y"'))
    before = executions(plugin)
    assert call(*command, folder, "--trust") == 2
    assert executions(plugin) == before


def test_a_table_that_a_folder_names_is_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("run", *TINY, "--results", tmp_path / "results") == 0
    (folder,) = (tmp_path / "results" / "runs").iterdir()
    for key, flag in (("recipe", "--recipe"), ("space", "--space")):
        secret = tmp_path / f"{key}.toml"
        secret.write_text("password = 'hunter2'\n")
        edited(folder, **{key: str(secret)})
        assert call("resume", folder) == 2
        words = capsys.readouterr().err
        assert f"request.{key}" in words
        assert f"add {flag} {secret}" in words
        assert "hunter2" not in words
        edited(folder, recipe=None, space="toy")


def test_a_comparison_has_no_code_executed_and_nothing_written_elsewhere(
    plugin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "comparison.toml"
    row = "[[rows]]\nshrink = 'pair'\nlr = 'cosine'\ndistill = 'labels'\n"
    common = f"space = 'toy'\nepochs = 0.2\nset = {list(SMALL)}\nseeds = 1\n"
    words = ["compare", file, "--yes", "--results", tmp_path / "results"]
    for text in (f"plugin = ['{plugin}']\n{common}{row}", f"{common}{row}plugin = ['{plugin}']\n"):
        file.write_text(text)
        assert call(*words) == 2
        assert f"--plugin {plugin}" in capsys.readouterr().err
        assert executions(plugin) == 0
    file.write_text(f"results = '{tmp_path / 'elsewhere'}'\n{common}{row}")
    assert call(*words) == 2
    assert "--results" in capsys.readouterr().err
    assert not (tmp_path / "elsewhere").exists()
    file.write_text(f"{common}{row}plugin = ['{plugin}']\n")
    assert call(*words, "--plugin", plugin) == 0
    assert call(*words, "--trust") == 0


def test_reproduce_reads_no_path_of_a_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "mine.toml"
    table.write_text("base = 'toy'\nsummary = 'mine'\nsource = 'none'\n")
    results = tmp_path / "results"
    words = [*TINY[2:], "--results", results]
    assert call("run", "--space", table, *words) == 0
    (entry,) = Store(results).list()
    capsys.readouterr()
    other = tmp_path / "other.toml"
    other.write_text("base = 'toy'\nsummary = 'mine'\nsource = 'none'\nwidth_mult = 2\n")
    table.rename(tmp_path / "moved.toml")
    other.rename(table)  # read, it would make another network
    assert call("reproduce", entry.record.run.id, "--results", results) == 0
    assert "identical" in capsys.readouterr().out
    assert call("reproduce", entry.path, "--space", table, "--results", results) == 2
    (tmp_path / "moved.toml").replace(table)
    assert call("reproduce", entry.path, "--space", table, "--results", results) == 0


@pytest.mark.parametrize("name", ["events.jsonl", "checkpoint", "lock"])
def test_nothing_is_written_through_a_link_in_a_folder(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("run", *TINY, "--results", tmp_path / "results") == 0
    (folder,) = (tmp_path / "results" / "runs").iterdir()
    shutil.rmtree(tmp_path / "results" / "records")
    inner, outside = folder / name, tmp_path / "outside"
    if inner.is_dir():
        shutil.rmtree(inner)
        outside.mkdir()
    else:
        inner.unlink()
        outside.write_text("mine")
    inner.symlink_to(outside)
    before = contents(outside)
    for words in (["resume", folder], ["run", *TINY, "--results", tmp_path / "results"]):
        assert call(*words) == 1
        assert "is a link" in capsys.readouterr().err
    assert before == contents(outside)


def test_the_line_that_goes_on_names_what_is_needed(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ofa_bench.errors import Interrupted
    from ofa_bench.hooks.bus import Bus

    results = tmp_path / "my results"
    asked = {"space": "toy", "epochs": 0.4, "set": SMALL, "shrink": "pair"}
    asked |= {"lr": "cosine", "distill": "labels", "results": results, "plugins": (str(plugin),)}

    def stop(*values: Any) -> Any:
        import signal

        os.kill(os.getpid(), signal.SIGTERM)
        return original(*values)

    original = Bus.draws
    with monkeypatch.context() as patch, pytest.raises(Interrupted) as caught:
        patch.setattr(Bus, "draws", stop)
        api.run(**asked)
    line = caught.value.hint.partition("go on with: ")[2]
    import shlex

    words = shlex.split(line)
    assert words[:2] == ["ofa-bench", "resume"]
    assert main(words[1:]) == 0


def test_a_record_is_as_it_was_whatever_space_is_named(tmp_path: Path) -> None:
    """A table of other sizes under the record's name is refused, not used."""
    record = api.run(dataset="digits", space="toy", epochs=0.2, set=SMALL, results=tmp_path)
    fields = plain(record)
    fields["science"]["space"] = "/etc/hostname.toml"
    from ofa_bench.hooks.catalogue import discover
    from ofa_bench.runs.recorded_request import request_for

    with pytest.raises(UsageError, match="no path of a record is read"):
        request_for(sealed(fields), discover().catalogue)


def test_a_folder_that_lies_nowhere_is_refused(tmp_path: Path) -> None:
    api.run(dataset="digits", space="toy", epochs=0.2, set=SMALL, results=tmp_path / "results")
    (folder,) = (tmp_path / "results" / "runs").iterdir()
    moved = tmp_path / folder.name
    shutil.copytree(folder, moved)
    with pytest.raises(ResumeError, match="results folder"):
        api.resume(str(moved))
    assert not (tmp_path.parent / "records").exists()
    with pytest.raises(BenchError):
        api.resume("nothing", tmp_path / "results")
