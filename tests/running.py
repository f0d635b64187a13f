"""Real processes that train: started, watched from outside, and waited for with generous guards."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from tests import preloaded

GUARD = 120.0  # seconds: a hang, never a slow machine
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OFA_BENCH_DEBUG": ""}
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
ENDLESS = ("--space", "toy", "--epochs", "100000", "--set", "evaluate.curve=0")


def pictures(root: Path, train: int = 16, val: int = 4) -> Path:
    """A class-per-folder tree of small images, alike in every call."""
    for split, count in (("train", train), ("val", val)):
        for label, shade in (("dark", 40), ("light", 200)):
            folder = root / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (40 + number, 44), (shade, number, shade)).save(
                    folder / f"{number:03d}.jpg"
                )
    return root


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


def rank_environment(rank: int, port: int, world: int = 2) -> dict[str, str]:
    """What a launcher sets for a rank."""
    values = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_PORT": port}
    return {"MASTER_ADDR": "127.0.0.1", **{name: str(value) for name, value in values.items()}}


def start_ranks(line: list[str], world: int, **options: object) -> list[subprocess.Popen[str]]:
    """A process for each rank, as a launcher starts them, but forked: torchrun's import torch."""
    port = free_port()
    return [
        preloaded.Process(
            line,
            env={**ENVIRONMENT, **(rank_environment(rank, port, world) if world > 1 else {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,  # type: ignore[call-overload]
        )
        for rank in range(world)
    ]


def finished_ranks(line: list[str], world: int) -> str:
    """What the first rank printed, when all have ended well."""
    ranks = start_ranks(line, world)
    try:
        ends = [rank.communicate(timeout=2 * GUARD) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    for rank, (_, err) in zip(ranks, ends, strict=True):
        assert rank.returncode == 0, err[-2000:]
    return ends[0][0]


def words(*parts: object, launch: tuple[str, ...] = ()) -> list[str]:
    """An `ofa-bench` command line as its own process, under a launcher where one is named."""
    return [sys.executable, *launch, "-m", "ofa_bench", *map(str, parts)]


@contextmanager
def started(
    line: list[str], env: dict[str, str] | None = None, **options: object
) -> Iterator[subprocess.Popen[str]]:
    """A process in a group of its own; whatever is left of the group is killed at the end."""
    process = preloaded.Process(
        line,
        env={**ENVIRONMENT, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=preloaded.default_hangup,
        **options,  # type: ignore[call-overload]
    )
    try:
        yield process
    finally:
        for pid in [process.pid, *descendants(process.pid)]:
            kill(pid)
        process.communicate()


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def until(met: Callable[[], object], what: str, guard: float = GUARD) -> None:
    """Wait for a condition, with a guard against hangs."""
    deadline = time.monotonic() + guard
    while not met():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.05)


def checkpoints(results: Path) -> set[Path]:
    return set(results.glob("runs/*/checkpoint/*.pt"))


def training(process: subprocess.Popen[str], results: Path, runs: int = 1) -> None:
    """Wait until a checkpoint of so many runs is written."""
    until(
        lambda: len({path.parent for path in checkpoints(results)}) >= runs or ended(process),
        "a checkpoint",
    )
    assert not ended(process), process.communicate()[1][-2000:]


def ended(process: subprocess.Popen[str]) -> bool:
    return process.poll() is not None


def descendants(pid: int) -> list[int]:
    """Children, and theirs, that still run."""
    table: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (parent := parent_of(int(entry.name))):
            table.setdefault(parent, []).append(int(entry.name))
    found = list(table.get(pid, ()))
    for child in found:
        found += table.get(child, ())
    return found


def parent_of(pid: int) -> int:
    """0 where the process is over, reaped or not."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[1])


def gone(pids: list[int]) -> bool:
    return not any(parent_of(pid) for pid in pids)
