"""Ranks that die and are started again, also in other numbers: no image is lost or seen twice."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ofa_bench.errors import BenchError, DataError, Interrupted, RankFailed
from ofa_bench.training import devices, rendezvous
from ofa_bench.training.rendezvous import Waiting, caught_up, leave, met, reported
from tests.running import (
    GUARD,
    checkpoints,
    descendants,
    ended,
    free_port,
    gone,
    kill,
    rank_environment,
    start_ranks,
    started,
    training,
    until,
)
from tests.training.counted import trained

# Five steps an epoch, of four micro-batches each.
ASKED = ["run", "--method", "ofa", "--space", "toy", "--epochs", "2", "--json"]
ASKED += ["--checkpoint-every", "1steps", "--set", "optim.batch=256"]
ASKED += ["--set", "optim.norm_batch=64"]
ASKED += ["--set", "evaluate.per_bucket=1", "--set", "evaluate.curve=0"]
LATER = "--evaluate-later"
ROUNDING = 1e-2  # of the largest weight; docs/long-runs.md states it


def counting(folder: Path, seconds: float, *launch: str) -> list[str]:
    """A line of ranks that write down their images below a folder, and their results."""
    (folder / "log").mkdir(parents=True, exist_ok=True)
    own = ["-m", "tests.training.counted", str(folder / "log"), str(seconds)]
    return [sys.executable, *launch, *own, *ASKED, LATER, "--results", str(folder / "results")]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (file,) = folder.glob("results/runs/*/weights.safetensors")
    return load_file(str(file))


def apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The greatest difference of two weights, in parts of the largest weight."""
    assert one.keys() == other.keys()
    differences = [(one[name].double() - other[name].double()).abs().max() for name in one]
    return float(max(differences) / max(value.abs().max() for value in one.values()))


def end_well(ranks: list[Any], code: int = 0) -> str:
    """What the first rank printed on both streams, when all have ended with a code."""
    try:
        ends = [rank.communicate(timeout=2 * GUARD) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    for rank, (_, err) in zip(ranks, ends, strict=True):
        assert rank.returncode == code, err[-2000:]
    return "".join(ends[0])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """Weights of two ranks that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    end_well(start_ranks(counting(folder, 0), 2))
    log = trained(folder / "log")
    assert log.once_each() and log.attempts == 1
    return weights(folder)


def test_torchrun_goes_on_by_itself_after_a_kill(
    whole: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    with started(counting(tmp_path, 0.2, *launch, "--max-restarts", "1")) as run:
        training(run, tmp_path / "results")
        kill(descendants(run.pid)[0])
        _, err = run.communicate(timeout=2 * GUARD)
    assert run.returncode == 0, err
    assert "going on after step" in err
    log = trained(tmp_path / "log")
    assert log.attempts == 2
    assert log.once_each()
    assert apart(whole, weights(tmp_path)) == 0
    assert not list(tmp_path.rglob("*.part"))


def test_two_ranks_then_one_then_four(whole: dict[str, torch.Tensor], tmp_path: Path) -> None:
    for attempt, world in enumerate((2, 1), start=1):
        ranks = start_ranks(counting(tmp_path, 0.3 / attempt), world)
        reached = 2 * attempt  # in the middle of the first epoch

        def going(reached: int = reached) -> bool:
            done = [int(path.stem) for path in checkpoints(tmp_path / "results")]
            return max(done, default=0) >= reached

        until(lambda ranks=ranks, going=going: going() or any(map(ended, ranks)), "some steps")
        for rank in ranks:
            kill(rank.pid, signal.SIGTERM)
        end_well(ranks, 130)
    last = [word for word in counting(tmp_path, 0) if word != LATER]
    out = end_well(start_ranks(last, 4))
    log = trained(tmp_path / "log")
    assert log.once_each()
    assert list(dict.fromkeys(log.worlds.values())) == [2, 1, 4]
    assert apart(whole, weights(tmp_path)) <= ROUNDING
    record = json.loads(out[out.index("{") : out.rindex("}") + 1])
    notes = [note for note in record["task"]["notes"] if "number of ranks" in note]
    assert [note.split(":")[1].split()[0] for note in notes] == ["1", "4"]
    assert out.count(notes[-1]) == 2  # on stderr too


def test_ranks_go_on_where_each_node_counts_its_own_restarts(
    whole: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """As torchrun restarts two nodes: the store stays, and one node alone has counted."""
    port = free_port()
    distributed: Any = torch.distributed
    store = distributed.TCPStore("127.0.0.1", port, None, True, wait_for_workers=False)
    line = counting(tmp_path, 0.2)
    for restarts in ((0, 0), (0, 1)):
        with ExitStack() as stack:
            ranks = []
            for rank, count in enumerate(restarts):
                env = {"TORCHELASTIC_RESTART_COUNT": str(count)}
                env |= {"TORCHELASTIC_USE_AGENT_STORE": "True", **rank_environment(rank, port)}
                ranks.append(stack.enter_context(started(line, env)))
            if restarts == (0, 0):
                training(ranks[0], tmp_path / "results")
                ranks[1].kill()
            until(lambda ranks=ranks: all(map(ended, ranks)), "the end of both ranks", GUARD)
            ends = [rank.communicate()[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], ends
    assert trained(tmp_path / "log").once_each()
    assert apart(whole, weights(tmp_path)) == 0
    del store


FORKING = """
import os, sys
from ofa_bench.cli.main import main
words = sys.argv[1:]
for rank in "10":
    if os.fork() == 0:
        os.environ |= {"RANK": rank, "LOCAL_RANK": rank, "TORCHELASTIC_RUN_ID": "none"}
        sys.exit(main(words))
os.wait()
"""


def test_ranks_save_and_stop_when_their_launcher_is_gone(tmp_path: Path) -> None:
    """torchrun dies of SIGUSR1, which a queue sends before its time is over, and tells no rank."""
    line = [sys.executable, "-c", FORKING, *ASKED, "--epochs", "100000"]
    line += ["--results", str(tmp_path), "--checkpoint-every", "1h", "--keep", "phase"]
    with started(line, rank_environment(0, free_port())) as run:
        log = tmp_path / "runs"
        until(lambda: list(log.glob("*/events.jsonl")), "the first step")
        ranks = descendants(run.pid)
        run.send_signal(signal.SIGUSR1)
        until(lambda: gone(ranks), "the ranks' end")
        _, err = run.communicate(timeout=GUARD)
    assert run.returncode == -signal.SIGUSR1
    assert len(checkpoints(tmp_path)) == 1, err
    assert "state is saved" in err


SLOW = """
import sys, time, datetime, torch
from ofa_bench.cli.main import main
from ofa_bench.runs import runner, readiness
from ofa_bench.training import loop

rank, opened, room = sys.argv.pop(1), runner.opened, readiness._check_room
form = torch.distributed.init_process_group
def slow(work, which):
    def call(*words):
        if rank == which:
            time.sleep(3)
        return work(*words)
    return call
def hasty(*words, **more):
    form(*words, **more, timeout=datetime.timedelta(seconds=1))
torch.distributed.init_process_group = hasty
runner.opened, readiness._check_room = slow(opened, "1"), slow(room, "0")
sys.exit(main(sys.argv[1:]))
"""


def test_waiting_for_a_slow_rank_runs_into_no_time_out(tmp_path: Path) -> None:
    """Rank 1 takes thrice a collective's time to read its images, rank 0 to check its own."""
    port = free_port()
    with ExitStack() as stack:
        ranks = []
        for rank in (0, 1):
            line = [sys.executable, "-c", SLOW, str(rank), *ASKED, "--results", str(tmp_path)]
            line += ["--epochs", "0.2", LATER]
            ranks.append(stack.enter_context(started(line, rank_environment(rank, port))))
        until(lambda: all(map(ended, ranks)), "the end of both ranks", GUARD)
        ends = [rank.communicate()[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], ends


STOPPED = """
import sys, time
from pathlib import Path
from ofa_bench.cli.main import main
from ofa_bench.runs import readiness

checking = Path(sys.argv.pop(1))
def check(progress):
    checking.touch()
    time.sleep(60)
def room(prepared):
    prepared.source.check_held_out = check
readiness._check_room = room
sys.exit(main(sys.argv[1:]))
"""


def test_a_signal_while_the_first_rank_checks_images_ends_all_as_interrupted(
    tmp_path: Path,
) -> None:
    port, checking = free_port(), tmp_path / "checking"
    with ExitStack() as stack:
        ranks = []
        for rank in (0, 1):
            line = [sys.executable, "-c", STOPPED, str(checking), *ASKED]
            line += ["--results", str(tmp_path)]
            ranks.append(stack.enter_context(started(line, rank_environment(rank, port))))
        until(checking.exists, "the check of the first rank")
        time.sleep(0.5)  # the other one waits by then; if not, the end is the same
        ranks[1].send_signal(signal.SIGTERM)
        time.sleep(0.3)
        ranks[0].send_signal(signal.SIGTERM)
        until(lambda: all(map(ended, ranks)), "the end of both ranks", GUARD)
        ends = [rank.communicate()[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [130, 130], ends
    assert "gone" not in "".join(ends)


def in_threads(work: Any, world: int) -> list[Any]:
    """What a function returns for each rank, each in a thread of its own."""
    answers: list[Any] = [None] * world

    def call(rank: int) -> None:
        try:
            answers[rank] = work(rank)
        except Exception as error:
            answers[rank] = error

    threads = [threading.Thread(target=call, args=(rank,)) for rank in range(world)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GUARD)
    return answers


def test_each_round_of_ranks_has_a_token_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendezvous, "POLL", 0.01)
    distributed: Any = torch.distributed
    store = distributed.HashStore()
    tokens = []
    for world in (3, 3, 1, 2, 4):
        late = threading.Timer(0.1, lambda: None)
        late.start()

        def meet(rank: int, world: int = world, late: threading.Timer = late) -> str:
            if rank == world - 1:
                late.join()
            return met(store, rank, world, Waiting(rank, 20))

        answers = in_threads(meet, world)
        assert len(set(answers)) == 1 and isinstance(answers[0], str), answers
        tokens.append(answers[0])
    assert len(set(tokens)) == 5


def test_a_rank_that_leaves_ends_the_waiting() -> None:
    distributed: Any = torch.distributed
    store = distributed.HashStore()
    assert in_threads(lambda rank: caught_up(store, rank, 2, 0), 2) == [None, None]
    leave(store, 1)
    (error,) = in_threads(lambda rank: caught_up(store, rank, 2, 1), 1)
    assert isinstance(error, RankFailed) and "rank 1" in error.message


@pytest.mark.parametrize("error", [RankFailed("rank 0 is gone"), Interrupted("interrupted")])
def test_what_follows_from_anothers_failure_is_not_the_first(error: BenchError) -> None:
    distributed: Any = torch.distributed
    store = distributed.HashStore()
    store.set_timeout(timedelta(seconds=5))
    reported(error, store, 1)
    cause = DataError("a damaged image")
    assert reported(cause, store, 0) is cause
    later = reported(RankFailed("rank 0 is gone"), store, 2)
    assert "a damaged image" in str(later)


def test_a_failure_is_kept_before_its_rank_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rank that waits goes as soon as it sees that, and asks for the failure."""
    distributed: Any = torch.distributed
    store, known = distributed.HashStore(), []
    monkeypatch.setattr(devices, "rendezvous", lambda rank, world: store)
    monkeypatch.setattr(distributed, "init_process_group", lambda *words, **more: None)
    monkeypatch.setattr(devices, "leave", lambda store, rank: known.append(store.check(["failed"])))
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(DataError), devices.open_devices("cpu"):
        raise DataError("a damaged image")
    assert known == [True]
