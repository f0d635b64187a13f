"""Ranks that do not fit together, or are lost: two real ones, over gloo."""

from __future__ import annotations

import shutil
import signal
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from tests import preloaded
from tests.running import (
    ENDLESS,
    ENVIRONMENT,
    GUARD,
    TORCHRUN,
    checkpoints,
    ended,
    free_port,
    pictures,
    rank_environment,
    started,
    training,
    until,
    words,
)

SHORT = ("--space", "toy", "--epochs", "0.4", "--set", "evaluate.per_bucket=1")
SHORT += ("--set", "evaluate.curve=0", "--set", "evaluate.buckets=1", "--method", "ofa")


class Ended(NamedTuple):
    """How a rank ended."""

    code: int
    out: str
    err: str


def both(*lines: list[str]) -> list[Ended]:
    """Ranks started by hand, each with a command line of its own, until all have ended."""
    port = free_port()
    with ExitStack() as stack:
        ranks = [
            stack.enter_context(started(line, rank_environment(rank, port)))
            for rank, line in enumerate(lines)
        ]
        until(lambda: all(map(ended, ranks)), "the end of all ranks", 2 * GUARD)
        return [Ended(rank.returncode, *rank.communicate()) for rank in ranks]


def on_images(folder: Path, results: Path, *more: str) -> list[str]:
    asked = ("run", "--dataset", "folder", "--data-dir", folder, "--results", results)
    return words(*asked, "--workers", 0, *(more or SHORT))


def test_ranks_whose_images_differ_are_refused(tmp_path: Path) -> None:
    ours = pictures(tmp_path / "ours")
    theirs = Path(shutil.copytree(ours, tmp_path / "theirs"))
    (theirs / "train" / "dark" / "003.jpg").write_bytes(
        (ours / "train" / "light" / "003.jpg").read_bytes()
    )
    first, second = both(*(on_images(folder, tmp_path / "r") for folder in (ours, theirs)))
    assert (first.code, second.code) == (2, 2)
    assert "rank 1" in first.err and "other images than rank 0" in first.err
    assert "Traceback" not in first.err + second.err
    assert not list(tmp_path.rglob("records/*/*/*.json"))


def test_ranks_with_other_seeds_are_refused(tmp_path: Path) -> None:
    lines = [words("run", *SHORT, "--seed", seed, "--results", tmp_path) for seed in (0, 1)]
    first, _ = both(*lines)
    assert first.code == 2 and "rank 1" in first.err and "other seed" in first.err


def test_folders_of_their_own_resume_from_the_first_ranks(tmp_path: Path) -> None:
    """As on machines that share no file system: only the first rank has the state."""
    endless = [words("run", *ENDLESS, "--method", "ofa", "--results", tmp_path / str(n))
               for n in (0, 1)]  # fmt: skip
    port = free_port()
    one, other = (started(line, rank_environment(rank, port)) for rank, line in enumerate(endless))
    with one as first, other as second:
        training(first, tmp_path / "0")
        for rank in (first, second):
            rank.send_signal(signal.SIGTERM)
        _, err = first.communicate(timeout=GUARD)
        second.communicate(timeout=GUARD)
        assert first.returncode == second.returncode == 130, err
    (newest,) = {max(checkpoints(tmp_path / "0"))}
    assert not checkpoints(tmp_path / "1")
    port = free_port()
    one, other = (started(line, rank_environment(rank, port)) for rank, line in enumerate(endless))
    with one as first, other as second:
        until(lambda: max(checkpoints(tmp_path / "0")) > newest or ended(first), "a later state")
        for rank in (first, second):
            rank.send_signal(signal.SIGTERM)
        _, err = first.communicate(timeout=GUARD)
        second.communicate(timeout=GUARD)
    assert first.returncode == second.returncode == 130, err
    assert f"going on after step {int(newest.stem)}" in err


def test_the_first_rank_to_fail_is_named_and_its_file(tmp_path: Path) -> None:
    ours = pictures(tmp_path / "ours")
    theirs = Path(shutil.copytree(ours, tmp_path / "theirs"))
    (theirs / "train" / "dark" / "003.jpg").write_bytes(b"\xff\xd8 cut short")
    lines = [on_images(folder, tmp_path / "r") for folder in (ours, theirs)]
    first, second = both(*lines)
    assert (first.code, second.code) == (2, 2)
    assert "rank 1" in second.err and "003.jpg" in second.err
    assert "rank 1" in first.err and "failed, see above" in first.err
    assert "bug" not in first.err + second.err


def test_a_killed_rank_is_named_and_the_state_is_kept(tmp_path: Path) -> None:
    port = free_port()
    line = words("run", *ENDLESS, "--method", "ofa", "--results", tmp_path)
    one, other = (started(line, rank_environment(rank, port)) for rank in (0, 1))
    with one as first, other as second:
        training(first, tmp_path)
        second.kill()
        _, err = first.communicate(timeout=GUARD)
    assert first.returncode == 1
    assert "another rank is gone" in err and "ofa-bench resume" in err
    assert "bug" not in err and "Traceback" not in err
    assert checkpoints(tmp_path)


def test_the_others_end_with_the_first_rank_and_say_so(tmp_path: Path) -> None:
    port = free_port()
    line = words("run", *ENDLESS, "--method", "ofa", "--results", tmp_path)
    one, other = (started(line, rank_environment(rank, port)) for rank in (0, 1))
    with one as first, other as second:
        training(first, tmp_path)
        first.kill()
        _, err = second.communicate(timeout=GUARD)
    assert second.returncode == 1
    assert "rank 1" in err and "another rank is gone" in err


def test_a_mistake_that_all_ranks_make_is_shown_once_under_torchrun(tmp_path: Path) -> None:
    line = words("run", "--method", "ofaa", "--results", tmp_path, launch=TORCHRUN)
    done = preloaded.run(line, env=ENVIRONMENT, timeout=GUARD)
    assert done.returncode != 0
    assert done.stderr.count("error: ") <= 2 and "did you mean ofa?" in done.stderr


def impatient(tmp_path: Path) -> list[str]:
    """A run that names missing ranks after a moment."""
    code = "import sys; from ofa_bench.cli.main import main; "
    code += "from ofa_bench.training import rendezvous; rendezvous.TELL_AFTER = 0.5; "
    code += "sys.exit(main(sys.argv[1:]))"
    return [sys.executable, "-c", code, *words("run", *SHORT, "--results", tmp_path)[3:]]


def test_a_missing_rank_is_named_and_ctrl_c_ends_the_waiting(tmp_path: Path) -> None:
    line = impatient(tmp_path)
    with started(line, rank_environment(0, free_port())) as first:
        assert first.stderr is not None
        for said in first.stderr:
            if "waits for" in said:
                break
        assert "rank 0 waits for rank 1 of 2" in said
        first.send_signal(signal.SIGINT)
        _, err = first.communicate(timeout=GUARD)
    assert first.returncode == 130 and "Traceback" not in err


def test_a_missing_first_rank_is_named_too(tmp_path: Path) -> None:
    line = impatient(tmp_path)
    with started(line, rank_environment(1, free_port())) as second:
        assert second.stderr is not None
        for said in second.stderr:
            if "waits for" in said:
                break
        assert "rank 1 waits for rank 0 at 127.0.0.1" in said
        second.send_signal(signal.SIGTERM)
        second.communicate(timeout=GUARD)
    assert second.returncode == 130


def test_a_taken_port_is_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        line = words("run", *SHORT, "--results", tmp_path)
        with started(line, rank_environment(0, port)) as first:
            _, err = first.communicate(timeout=GUARD)
    assert first.returncode == 2 and f"port {port}" in err and "taken" in err
    assert "Traceback" not in err


def test_a_rank_left_over_in_the_environment_silences_nothing(tmp_path: Path) -> None:
    env = {**ENVIRONMENT, "RANK": "1"}
    done = preloaded.run(words("plan"), env=env, timeout=GUARD)
    assert done.returncode == 0 and "method" in done.stdout
    env |= {"WORLD_SIZE": "2"}
    done = preloaded.run(words("run", "--results", tmp_path), env=env, timeout=GUARD)
    assert done.returncode == 2 and "MASTER_ADDR" in done.stderr and "torchrun" in done.stderr
