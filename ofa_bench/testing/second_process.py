"""A second process that imports, plans and trains the same plugin, for comparison.

Run as `python -m ofa_bench.testing.second_process FOLDER`.

It imports the plugin's modules one by one, plans each job under another hash seed, and trains each
on two ranks: all in one process and its forked children, which import torch once. Results are
lines on stdout, and files in FOLDER.
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
    """Run the folder's `jobs.json`: {"imports": modules, "plans": requests, "trains": numbers},
    where numbers are those of plans."""
    jobs: Job = json.loads((folder / "jobs.json").read_text(encoding="utf-8"))
    for module in jobs["imports"]:
        _in_a_child(f"import {module}", _heavy_imports, module)
    for number, asked in enumerate(jobs["plans"]):
        _in_a_child(f"plan {number}", _plan, folder / f"{number}.json", asked)
    if jobs["trains"]:
        import torch  # noqa: F401  # once, for all the ranks that are forked from here

        _train(folder, [(n, jobs["plans"][n]) for n in jobs["trains"]])
    return 0


def say(line: str) -> None:
    """Write one line to stdout, for the parent process."""
    sys.stdout.write(" ".join(line.split()) + "\n")
    sys.stdout.flush()


def _in_a_child(what: str, act: Callable[..., str], *args: Any) -> None:
    """Call `act` in a forked child and print `what: result`; imports do not affect later jobs."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        say(f"{what}: {act(*args)}")
    except (Exception, SystemExit) as error:
        say(f"{what}: failed: {type(error).__name__}: {error}")
    finally:
        os._exit(0)


def _heavy_imports(module: str) -> str:
    """The heavy libraries that importing a module or a file loads, separated by commas."""
    from ofa_bench.hooks.plugin_file import load_file

    if module.endswith(".py"):
        load_file(Path(module))
    else:
        importlib.import_module(module)
    return ",".join(name for name in ("torch", "numpy") if name in sys.modules)


def _plan(path: Path, asked: Job) -> str:
    from ofa_bench import api
    from ofa_bench.testing.short_run import answers

    assembly = api.plan(**asked)
    path.write_text(json.dumps(answers(assembly.bus, assembly.schedule)), encoding="utf-8")
    return ""


def _train(folder: Path, jobs: Sequence[tuple[int, Job]]) -> None:
    """Run all jobs on ranks forked from here; after a failure, the rest run on new ranks."""
    left = list(jobs)
    context = multiprocessing.get_context("fork")
    while left:
        ports = _free_ports(len(left))
        ends, sender = context.Pipe(duplex=False)
        ranks = [
            context.Process(target=_rank, args=(rank, ports, folder, left, sender), daemon=True)
            for rank in range(RANKS)
        ]
        for process in ranks:
            process.start()
        sender.close()
        left = left[_followed(ends, left) :]
        for process in ranks:
            process.kill()
            process.join()


def _followed(ends: Any, jobs: Sequence[tuple[int, Job]]) -> int:
    """Print the outcome of each job until one fails; return how many were printed."""
    heard: dict[int, list[str]] = {number: [] for number, _ in jobs}
    for count, (number, _) in enumerate(jobs, 1):
        while len(heard[number]) < RANKS and not any(heard[number]):
            about, text = _news(ends, number)
            heard[about].append(text)
        trouble = next(filter(None, heard[number]), "")
        say(f"train {number}: {trouble}")
        if trouble:
            return count
    return len(jobs)


def _news(ends: Any, number: int) -> tuple[int, str]:
    if not ends.poll(PATIENCE):
        return number, "failed: a rank waits for another that does not answer"
    try:
        about, text = ends.recv()
        return int(about), str(text)
    except EOFError:
        return number, "failed: a rank ended early"


def _rank(rank: int, ports: Sequence[int], folder: Path, jobs: Sequence[Any], end: Any) -> None:
    """Run all jobs as one rank, with the environment that torchrun would set."""
    import torch

    from ofa_bench import api
    from ofa_bench.testing.short_run import RESTING, attempt, short

    world = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": RANKS, "MASTER_ADDR": "localhost"}
    os.environ.update({name: str(value) for name, value in world.items()})
    for (number, values), port in zip(jobs, ports, strict=True):
        os.environ["MASTER_PORT"] = str(port)
        try:
            schedule, results = api.plan(**values).schedule, folder / f"together-{number}"
            asked = short(api.request(**values), schedule, results, RESTING)
            trial = attempt(asked, api.catalogue_for(asked))
            torch.save([trial.answers, trial.gradients], folder / f"{number}-{rank}.pt")
        except (Exception, SystemExit) as error:
            end.send((number, f"failed: {type(error).__name__}: {error}"))
            time.sleep(
                PATIENCE
            )  # so that this error arrives before the other rank's broken connection
            return
        end.send((number, ""))


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        open_ones = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in open_ones:
            listener.bind(("localhost", 0))
        return [int(listener.getsockname()[1]) for listener in open_ones]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
