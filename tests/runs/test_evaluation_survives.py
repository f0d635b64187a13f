"""The final evaluation, stopped and killed at any chunk, ends with an undisturbed one's record."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ofa_bench import api
from ofa_bench.errors import Interrupted, ResumeError
from ofa_bench.evaluation import chunks
from ofa_bench.evaluation.chunks import ScoredChunk
from ofa_bench.evaluation.kept_scores import KeptChunk, KeptScores
from ofa_bench.hardware import cpu_model
from ofa_bench.records.schema import Record, plain
from ofa_bench.runs import final_evaluation
from ofa_bench.training.callbacks import Silent
from ofa_bench.training.devices import Devices
from tests import preloaded
from tests.running import GUARD, ended, free_port, rank_environment, started, until, words

ASKED = ("run", "--method", "deps", "--space", "toy", "--epochs", "0.4")
ASKED += ("--set", "evaluate.per_bucket=1", "--set", "evaluate.chunk=60")
ASKED += ("--set", "evaluate.curve=0")
CHUNKS = 10  # 240 images in select, 360 in test
TIMES = ("cost", "run", "seals", "sha256", "execution")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A results folder with a run that is trained and not evaluated, and what the command said."""
    results = tmp_path_factory.mktemp("trained")
    line = words(*ASKED, "--evaluate-later", "--json", "--results", results)
    done = preloaded.run(line, timeout=GUARD, check=True)
    said: dict[str, Any] = json.loads(done.stdout)
    return {**said, "results": results}


@pytest.fixture(scope="module")
def whole(trained: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The record of an evaluation that nothing disturbed."""
    results = tmp_path_factory.mktemp("whole") / "results"
    shutil.copytree(trained["results"], results)
    return lasting(api.resume(trained["run"], results))


@pytest.fixture
def results(trained: dict[str, Any], tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained["results"], tmp_path / "results"))


def lasting(record: Record) -> dict[str, Any]:
    """A record without its times."""
    values = {name: value for name, value in plain(record).items() if name not in TIMES}
    assert record.cost.beside.evaluation_seconds > 0
    return values


def kept(results: Path) -> list[Path]:
    return sorted(results.glob("runs/*/evaluation/*.safetensors"))


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the chunks that are scored from now on."""
    sizes: list[int] = []
    score = chunks._marks

    def counting(tree: Any, rows: int, batch: Any) -> Any:
        sizes.append(len(batch.labels))
        return score(tree, rows, batch)

    monkeypatch.setattr(chunks, "_marks", counting)
    return sizes


def test_training_alone_ends_with_the_line_that_evaluates(
    trained: dict[str, Any], whole: dict[str, Any], results: Path
) -> None:
    assert trained["status"] == "trained"
    assert not list(trained["results"].glob("records/*/*/*.json"))
    verb, *more = trained["evaluate"].split()[1:]
    assert (verb, more[0]) == ("evaluate", trained["run"])
    line = words(verb, trained["run"], "--results", results, "--json")
    done = preloaded.run(line, timeout=GUARD)
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert {name: values[name] for name in whole} == whole
    assert not list(results.glob("runs/*/evaluation")) + list(results.glob("runs/*/checkpoint/*"))


def test_evaluate_trains_nothing(trained: dict[str, Any], results: Path) -> None:
    newest = max(results.glob("runs/*/checkpoint/*.pt"))
    shutil.rmtree(newest.parent)
    with pytest.raises(ResumeError, match="the training is at step 0 of") as caught:
        api.evaluate_request(api.resumption(trained["run"], results))
    assert f"ofa-bench resume {trained['run']}" in caught.value.hint


KILLED = """
import os, signal, sys
from ofa_bench import api
from ofa_bench.evaluation import chunks
from ofa_bench.evaluation.kept_scores import KeptScores

moment, number, run, results = sys.argv[1:]
count = 0
def counting(inner):
    def call(*words):
        global count
        count += 1
        if count == int(number):
            os.kill(os.getpid(), signal.SIGTERM if moment == "stopped" else signal.SIGKILL)
        return inner(*words)
    return call
if moment == "scoring":
    chunks._marks = counting(chunks._marks)
elif moment == "renaming":
    os.replace = counting(os.replace)
else:
    KeptScores.write = counting(KeptScores.write)
api.resume(run, results)
"""


@pytest.mark.parametrize(
    ("moment", "numbers"), [("scoring", (4, 3)), ("writing", (1, 6)), ("renaming", (9,))]
)
def test_killed_it_goes_on_and_redoes_one_chunk_at_most(
    moment: str,
    numbers: tuple[int, ...],
    trained: dict[str, Any],
    whole: dict[str, Any],
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = 0
    for number in numbers:
        line = [sys.executable, "-c", KILLED, moment, str(number), trained["run"], str(results)]
        died = preloaded.run(line, timeout=GUARD)
        assert died.returncode == -signal.SIGKILL, died.stderr[-2000:]
        assert len(kept(results)) >= done
        done = len(kept(results))
    assert done == sum(numbers) - len(numbers) or (moment == "renaming" and done > 0)
    scored = counted(monkeypatch)
    assert lasting(api.resume(trained["run"], results)) == whole
    assert len(scored) == CHUNKS - done


def interrupted(trained: dict[str, Any], results: Path, after: int) -> list[Path]:
    """The files of an evaluation that a signal ended in a chunk."""
    with pytest.MonkeyPatch.context() as patch:
        score, count = chunks._marks, [0]

        def stopped(*arguments: Any) -> Any:
            count[0] += 1
            if count[0] > after:
                os.kill(os.getpid(), signal.SIGUSR1)
            return score(*arguments)

        patch.setattr(chunks, "_marks", stopped)
        with pytest.raises(Interrupted, match="its scores are kept") as caught:
            api.resume(trained["run"], results)
    assert caught.value.exit_code == 130 and "ofa-bench resume" in caught.value.hint
    return kept(results)


def test_torn_and_foreign_files_are_scored_again(
    trained: dict[str, Any], whole: dict[str, Any], results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = interrupted(trained, results, 8)
    assert len(files) == 8
    raw = files[0].read_bytes()
    files[0].write_bytes(raw[: len(raw) // 2])
    files[1].write_bytes(b"")
    files[2].write_bytes(bytes([*files[2].read_bytes()[:-1], files[2].read_bytes()[-1] ^ 128]))
    files[3].write_bytes(b"\x80\x04N.")
    files[4].write_bytes((1 << 40).to_bytes(8, "little") + b"{}")
    files[5].unlink()
    (files[0].parent / ".half.part").write_bytes(raw)
    scored = counted(monkeypatch)
    said: list[str] = []
    monkeypatch.setattr(Silent, "note", lambda self, text: said.append(text))
    assert lasting(api.resume(trained["run"], results)) == whole
    assert len(scored) == CHUNKS - 2
    assert any("not used: torn or changed" in text for text in said)


def test_scores_of_another_machine_are_not_mixed_in_and_training_keeps_its_own(
    trained: dict[str, Any], whole: dict[str, Any], results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(trained, results, 8)
    monkeypatch.setattr(final_evaluation, "cpu_model", lambda: "another one")
    monkeypatch.setattr("ofa_bench.training.precision.cpu_model", lambda: "another one")
    scored = counted(monkeypatch)
    assert lasting(api.resume(trained["run"], results)) == whole  # machine included
    assert len(scored) == CHUNKS


def test_a_signal_after_the_last_chunk_is_heard(
    trained: dict[str, Any], whole: dict[str, Any], results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a comparison would go on with its next run."""
    write, count = KeptScores.write, [0]

    def stopped(scores: KeptScores, chunk: KeptChunk) -> None:
        write(scores, chunk)
        count[0] += 1
        if count[0] == CHUNKS:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch, pytest.raises(Interrupted, match="its scores are kept"):
        patch.setattr(KeptScores, "write", stopped)
        api.resume(trained["run"], results)
    assert count == [CHUNKS] and not list(results.glob("records/*/*/*.json"))
    scored = counted(monkeypatch)
    assert lasting(api.resume(trained["run"], results)) == whole
    assert not scored


def test_scores_are_of_the_machines_of_all_ranks(
    trained: dict[str, Any], whole: dict[str, Any], results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another rank scored on another machine is not gone on with where only this one is."""
    gather = Devices.gather
    other = cpu_model()

    def gathered(devices: Devices, value: Any) -> list[Any]:
        values = gather(devices, value)
        return [*values, "another machine"] if value == other else values

    with monkeypatch.context() as patch:
        patch.setattr(Devices, "gather", gathered)
        interrupted(trained, results, 8)
    scored = counted(monkeypatch)
    assert lasting(api.resume(trained["run"], results)) == whole
    assert len(scored) == CHUNKS


def test_the_memory_of_all_ranks_is_kept_for_a_later_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gather = Devices.gather

    def gathered(devices: Devices, value: Any) -> list[Any]:
        values = gather(devices, value)
        return [*values, 1 << 50] if value == devices.peak_bytes else values

    asked: dict[str, Any] = {"method": "deps", "space": "toy", "epochs": 0.1, "results": tmp_path}
    asked["set"] = ("evaluate.per_bucket=1", "evaluate.curve=0")
    with monkeypatch.context() as patch:
        patch.setattr(Devices, "gather", gathered)
        patch.setattr(Devices, "peak_bytes", 1 << 40)
        later = api.train(**asked)
    assert isinstance(later, api.UnevaluatedRun)
    assert api.resume(later.run, tmp_path).cost.peak_bytes == 1 << 50


def test_hostile_scores_with_a_seal_of_their_own_are_refused(tmp_path: Path) -> None:
    subnets = list(api.load_space("toy").uniform())
    said: list[str] = []
    sizes = {"select": 240, "test": 360}
    scores = KeptScores(tmp_path, "0" * 64, subnets, sizes, 60, said.append)
    good = np.ones((2, 60), bool)

    def chunk(**changes: Any) -> KeptChunk:
        fields = {"resolution": 8, "split": "test", "number": 0, "positions": (0, 1)}
        return KeptChunk(ScoredChunk(**{**fields, "marks": good, **changes}), 1.0)

    bad = [
        chunk(number=6),
        chunk(number=-1),
        chunk(resolution=16),
        chunk(positions=(0, len(subnets))),
        chunk(positions=(-1, 0)),
        chunk(positions=(1, 1)),
        chunk(positions=(0, 1, 2)),
        chunk(split="train"),
        chunk(marks=np.ones((2, 52), bool)),
        KeptChunk(chunk().scored, float("nan")),
        KeptChunk(chunk().scored, -1.0),
    ]
    for kept_chunk in bad:
        scores.write(kept_chunk)
        assert scores.read() == [], kept_chunk
        shutil.rmtree(tmp_path)
    scores.write(chunk())
    (read,) = scores.read()
    assert (read.scored.marks == good).all() and read.scored.positions == (0, 1)
    KeptScores(tmp_path, "1" * 64, subnets, sizes, 60).write(chunk())
    assert scores.read() == [] and "another machine" in said[-1]


def test_a_signal_at_one_rank_ends_both_and_one_rank_goes_on(
    trained: dict[str, Any], whole: dict[str, Any], results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = KILLED.replace("api.resume(run, results)", "")
    code += "from ofa_bench.cli.main import main\n"
    code += "sys.exit(main(['resume', run, '--results', results]))"
    at = "count == int(number)"
    code = code.replace(at, f"{at} and os.environ['RANK'] == '0'")
    line = [sys.executable, "-c", code, "stopped", "9", trained["run"], str(results)]
    port = free_port()
    with ExitStack() as stack:
        places = [rank_environment(rank, port) for rank in (0, 1)]
        ranks = [stack.enter_context(started(line, variables)) for variables in places]
        until(lambda: all(map(ended, ranks)), "the end of both ranks", GUARD)
        said = ranks[0].communicate()[1]
        assert [rank.returncode for rank in ranks] == [130, 130], said
    assert "its scores are kept" in said and "Traceback" not in said
    done = len(kept(results)) // 2
    assert 4 <= done < CHUNKS
    scored = counted(monkeypatch)
    assert lasting(api.resume(trained["run"], results)) == whole
    assert len(scored) <= CHUNKS - done + 1
