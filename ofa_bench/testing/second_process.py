"""A second process that imports, plans and trains the same plugin, for comparison.

Run as `python -m ofa_bench.testing.second_process FOLDER`.

It imports the plugin's modules one by one, plans each job under another hash seed, and trains each
on two ranks: all in one process and its forked children, which import torch once. Results are
lines on stdout, and files in FOLDER.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

RANKS = 2
PATIENCE = 60.0  # seconds after which the ranks of a job count as stuck
Job = dict[str, Any]


def main(folder: Path) -> int:
    """Run the folder's `jobs.json`: {"imports": modules, "plans": requests, "trains": numbers},
    where numbers are those of plans."""
    jobs: Job = json.loads((folder / "jobs.json").read_text(encoding="utf-8"))
    for module in jobs["imports"]:
        _in_a_child(f"import {module}", _heavy_imports, module)
    for number, values in enumerate(jobs["plans"]):
        _in_a_child(f"plan {number}", _plan, folder / f"{number}.json", values)
    for number in jobs["trains"]:
        say(f"train {number}: {_train(folder, number, jobs['plans'][number])}")
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


def _plan(path: Path, values: Job) -> str:
    from ofa_bench import api
    from ofa_bench.testing.short_run import answers

    assembly = api.plan(**values)
    path.write_text(json.dumps(answers(assembly.bus, assembly.schedule)), encoding="utf-8")
    return ""


def _train(folder: Path, number: int, values: Job) -> str:
    """Train a job on two ranks forked from here, which has imported torch; return what failed."""
    from torch.multiprocessing.spawn import ProcessExitedException, start_processes

    job = (_free_port(), folder, number, values)
    ranks: Any = start_processes(  # type: ignore[no-untyped-call]
        _rank, job, RANKS, join=False, daemon=True, start_method="fork"
    )
    last = time.monotonic() + PATIENCE
    try:
        while not ranks.join(max(0.0, last - time.monotonic())):
            if time.monotonic() > last:
                return "failed: a rank waits for another that does not answer"
    except ProcessExitedException:
        reason = folder / f"{number}.failed"
        text = reason.read_text(encoding="utf-8") if reason.exists() else "a rank ended early"
        return f"failed: {text}"
    finally:
        for process in ranks.processes:
            process.kill()
            process.join()
    return ""


def _rank(rank: int, port: int, folder: Path, number: int, values: Job) -> None:
    """Run a job as one rank, with the environment that torchrun would set."""
    import torch

    from ofa_bench import api
    from ofa_bench.testing.short_run import RESTING, attempt, short

    world = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": RANKS, "MASTER_ADDR": "localhost"}
    os.environ.update({name: str(value) for name, value in world.items()}, MASTER_PORT=str(port))
    try:
        schedule, results = api.plan(**values).schedule, folder / f"together-{number}"
        request = short(api.request(**values), schedule, results, RESTING)
        trial = attempt(request, api.catalogue_for(request))
        torch.save([trial.answers, trial.gradients], folder / f"{number}-{rank}.pt")
    except (Exception, SystemExit) as error:
        with suppress(FileExistsError), (folder / f"{number}.failed").open("x") as file:
            file.write(f"{type(error).__name__}: {error}")  # the other rank's follows from it
        sys.exit(1)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
