"""A run with loader workers ends, whatever happens to it, and takes them along."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from ofa_bench import api
from ofa_bench.training.checkpoint import lock
from tests import preloaded
from tests.running import (
    ENDLESS,
    GUARD,
    descendants,
    gone,
    kill,
    pictures,
    started,
    training,
    until,
    words,
)


def line(tmp_path: Path, *more: str, command: str = "run") -> list[str]:
    images = tmp_path / "images"
    if not images.is_dir():
        pictures(images)
    where = ("--dataset", "folder", "--data-dir", images, "--results", tmp_path / "results")
    return words(command, *where, "--workers", 2, *more)


def loaders(pid: int) -> list[int]:
    """The processes that load images for a run."""
    until(lambda: len(descendants(pid)) >= 2, "two workers")
    return descendants(pid)


@pytest.mark.parametrize(
    ("kind", "group"), [("INT", True), ("TERM", False), ("HUP", False), ("USR1", True)]
)
def test_a_signal_saves_the_state_and_ends_the_run(kind: str, group: bool, tmp_path: Path) -> None:
    with started(line(tmp_path, *ENDLESS, "--method", "ofa")) as run:
        training(run, tmp_path / "results")
        workers = loaders(run.pid)
        number = getattr(signal, f"SIG{kind}")
        (os.killpg if group else os.kill)(run.pid, number)
        _, err = run.communicate(timeout=GUARD)
    assert run.returncode == 130, err
    assert "state is saved" in err and "ofa-bench resume" in err
    assert "Traceback" not in err
    assert gone(workers)


def test_a_killed_worker_ends_the_run(tmp_path: Path) -> None:
    with started(line(tmp_path, *ENDLESS, "--method", "ofa")) as run:
        training(run, tmp_path / "results")
        workers = loaders(run.pid)
        kill(workers[0])
        _, err = run.communicate(timeout=GUARD)
    assert run.returncode == 2, err
    assert "loads images was killed" in err and "--workers 0" in err
    assert "ofa-bench resume" in err and "Traceback" not in err
    assert gone(workers)


def test_all_workers_killed_at_once(tmp_path: Path) -> None:
    with started(line(tmp_path, *ENDLESS, "--method", "ofa")) as run:
        training(run, tmp_path / "results")
        for worker in loaders(run.pid):
            kill(worker)
        _, err = run.communicate(timeout=GUARD)
    assert run.returncode == 2, err
    assert "loads images was killed" in err and "bug" not in err


def test_workers_end_with_a_killed_run_which_can_be_resumed_at_once(tmp_path: Path) -> None:
    with started(line(tmp_path, *ENDLESS, "--method", "ofa")) as run:
        training(run, tmp_path / "results")
        workers = loaders(run.pid)
        kill(run.pid)
        _, err = run.communicate(timeout=GUARD)
        assert "Traceback" not in err
        (folder,) = (tmp_path / "results" / "runs").iterdir()
        with lock(folder):  # though its workers may live for a moment yet
            until(lambda: gone(workers), "the workers' end")


def test_a_worker_says_nothing_of_a_socket_that_broke_with_the_run() -> None:
    """The thread that hands a batch's memory over, as torch starts it in a worker."""
    code = """if True:
        import time
        from multiprocessing import current_process, resource_sharer
        from multiprocessing.connection import Client
        from ofa_bench.data.sources.workers import initialise
        from ofa_bench.processes import stop_signals_blocked
        with stop_signals_blocked():
            initialise(0)
            offer = resource_sharer.DupFd(1)
            Client(offer._id[0], authkey=current_process().authkey).close()
            offer.detach()  # the thread serves others after that
        print("served")"""
    done = preloaded.run([sys.executable, "-c", code], timeout=GUARD)
    assert done.stdout == "served\n" and done.stderr == ""


def test_a_run_that_diverges_ends(tmp_path: Path) -> None:
    hot = ("--set", "optim.lr=1e6", "--set", "optim.weight_decay=1", "--method", "ofa")
    hot += ("--space", "toy", "--epochs", "20", "--set", "evaluate.per_bucket=1")
    codes = []
    for _ in range(2):  # the second time its record is there
        with started(line(tmp_path, *hot)) as run:
            _, err = run.communicate(timeout=GUARD)
        codes.append(run.returncode)
        assert "stopped being finite" in err and "Traceback" not in err
    assert codes == [1, 1]


def test_ranks_end_at_a_signal_to_their_launcher(tmp_path: Path) -> None:
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    asked = line(tmp_path, *ENDLESS, "--method", "ofa")
    with started([asked[0], *launch, *asked[1:]]) as run:
        training(run, tmp_path / "results")
        company = descendants(run.pid)
        run.send_signal(signal.SIGTERM)
        _, err = run.communicate(timeout=GUARD)
    assert "state is saved" in err
    assert "SIGKILL" not in err
    until(lambda: gone(company), "the ranks' and their workers' end")


def test_resumed_with_workers_to_the_same_bits(tmp_path: Path) -> None:
    asked = ("--space", "toy", "--epochs", "20", "--set", "evaluate.per_bucket=1")
    asked += ("--set", "evaluate.curve=0", "--set", "evaluate.buckets=1")
    asked += ("--method", "ofa", "--json")
    with started(line(tmp_path, *asked, "--checkpoint-every", "2")) as run:
        training(run, tmp_path / "results")
        run.send_signal(signal.SIGTERM)
        run.communicate(timeout=GUARD)
    assert run.returncode == 130
    cut = preloaded.run(line(tmp_path, *asked), timeout=GUARD)
    whole = api.run(
        dataset="folder", data_dir=tmp_path / "images", results=tmp_path / "whole", method="ofa",
        space="toy", epochs=20, workers=0,
        set=("evaluate.per_bucket=1", "evaluate.curve=0", "evaluate.buckets=1"),
    )  # fmt: skip
    assert json.loads(cut.stdout)["weights_sha256"] == whole.weights_sha256
