"""A second process, which must answer as the first.

Run as `python -m ofa_bench.testing.second_process FOLDER`.

It imports the plugin's modules one by one, plans each job under another hash seed, and trains each
on two ranks. All in one process and its children, since importing torch takes longer than they do.
What it finds is told in lines on stdout, and kept in the folder that its jobs lie in.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

RANKS = 2
PATIENCE = 60.0  # seconds without news until ranks count as stuck
Job = dict[str, Any]


def main(folder: Path) -> int:
    """Carry out the folder's `jobs.json`: {"imports": [places], "plans": [requests], "trains"}."""
    jobs: Job = json.loads((folder / "jobs.json").read_text(encoding="utf-8"))
    for place in jobs["imports"]:
        _in_a_child(f"import {place}", _weigh, place)
    for number, asked in enumerate(jobs["plans"]):
        _in_a_child(f"plan {number}", _plan, folder / f"{number}.json", asked)
    if jobs["trains"]:
        import torch  # noqa: F401  # once, for all the ranks that are forked from here

        _train(folder, [(n, jobs["plans"][n]) for n in jobs["trains"]])
    return 0


def say(line: str) -> None:
    """A line for whoever started this."""
    sys.stdout.write(" ".join(line.split()) + "\n")
    sys.stdout.flush()


def _in_a_child(what: str, act: Callable[..., str], *given: Any) -> None:
    """Tell `what: answer`, from a copy of this process that then ends: none spoils the next."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        say(f"{what}: {act(*given)}")
    except (Exception, SystemExit) as error:
        say(f"{what}: failed: {type(error).__name__}: {error}")
    finally:
        os._exit(0)


def _weigh(place: str) -> str:
    """Which heavy libraries come in with a module or a file."""
    from ofa_bench.hooks.plugin_file import load_file

    if place.endswith(".py"):
        load_file(Path(place))
    else:
        importlib.import_module(place)
    return ",".join(each for each in ("torch", "numpy") if each in sys.modules)


def _plan(path: Path, asked: Job) -> str:
    from ofa_bench import api
    from ofa_bench.testing.short_run import answers

    assembly = api.plan(**asked)
    path.write_text(json.dumps(answers(assembly.bus, assembly.schedule)), encoding="utf-8")
    return ""


def _train(folder: Path, jobs: Sequence[tuple[int, Job]]) -> None:
    """All jobs on ranks forked from here; where one fails, the others go on in fresh ranks."""
    left = list(jobs)
    context = multiprocessing.get_context("fork")
    while left:
        ports = _free_ports(len(left))
        ends, own = context.Pipe(duplex=False)
        ranks = [
            context.Process(target=_rank, args=(rank, ports, folder, left, own), daemon=True)
            for rank in range(RANKS)
        ]
        for process in ranks:
            process.start()
        own.close()
        left = left[_followed(ends, left) :]
        for process in ranks:
            process.kill()
            process.join()


def _followed(ends: Any, jobs: Sequence[tuple[int, Job]]) -> int:
    """Tell how jobs end until one fails; how many were told of."""
    heard: dict[int, list[str]] = {number: [] for number, _ in jobs}
    for told, (number, _) in enumerate(jobs, 1):
        while len(heard[number]) < RANKS and not any(heard[number]):
            about, text = _news(ends, number)
            heard[about].append(text)
        trouble = next(filter(None, heard[number]), "")
        say(f"train {number}: {trouble}")
        if trouble:
            return told
    return len(jobs)


def _news(ends: Any, number: int) -> tuple[int, str]:
    if not ends.poll(PATIENCE):
        return number, "failed: a rank waits for another that does not come"
    try:
        about, text = ends.recv()
        return int(about), str(text)
    except EOFError:
        return number, "failed: a rank ended before its time"


def _rank(rank: int, ports: Sequence[int], folder: Path, jobs: Sequence[Any], end: Any) -> None:
    """One rank of all jobs, as torchrun would start it."""
    import torch

    from ofa_bench import api
    from ofa_bench.testing.short_run import RESTING, attempt, short

    world = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": RANKS, "MASTER_ADDR": "localhost"}
    os.environ.update({name: str(value) for name, value in world.items()})
    for (number, values), port in zip(jobs, ports, strict=True):
        os.environ["MASTER_PORT"] = str(port)
        try:
            schedule, place = api.plan(**values).schedule, folder / f"together-{number}"
            asked = short(api.request(**values), schedule, place, RESTING)
            trial = attempt(asked, api.catalogue_for(asked))
            torch.save([trial.answers, trial.gradients], folder / f"{number}-{rank}.pt")
        except (Exception, SystemExit) as error:
            end.send((number, f"failed: {type(error).__name__}: {error}"))
            time.sleep(PATIENCE)  # so that the other's complaint about this end comes second
            return
        end.send((number, ""))


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        open_ones = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in open_ones:
            each.bind(("localhost", 0))
        return [int(each.getsockname()[1]) for each in open_ones]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
