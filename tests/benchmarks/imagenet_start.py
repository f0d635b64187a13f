"""What ImageNet costs before the first step: listing, hashing, checking, and starting again.

    python -m tests.benchmarks.imagenet_start /tmp/imagenet-synthetic

makes a tree of 1.33 million hard links there (`synthetic_imagenet.py`; `--images 100000` a
smaller one, `--distinct` one of files that share nothing), a cache of its own beside it, and runs,
each in a process of its own: `data check` with nothing cached, which hashes and decodes all;
`data check` again; and, as often as `--starts` says, `run` with two workers until its first step
and for some steps more, ended by SIGINT to its group, and the same on a small tree, which shows
what a process takes without a million files. Tree and cache stay; remove them afterwards, or name
them again with `--warm` to measure starts alone.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from .synthetic_imagenet import CLASSES, TRAIN, VAL, make

SMALL = 20_000
STEPS = 60  # that a run goes on for, with its workers
WATCHED = """
import json, os, signal, sys, time
from pathlib import Path
from ofa_bench.cli.main import main
from ofa_bench.cli.views.progress import ProgressView
began, last = float(sys.argv.pop(1)), int(sys.argv.pop(1))

def memory(pid):
    # kB: resident, shared evenly among those that map it, of this process alone, and the peak
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    values = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    peak = Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0]
    alone = values["Private_Clean"] + values["Private_Dirty"]
    return {"rss": values["Rss"], "pss": values["Pss"], "alone": alone, "peak": int(peak)}

def report(index):
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    times = os.times()
    facts = {"step": index, "seconds": time.time() - began, "cpu": times.user + times.system}
    facts |= {"parent": memory("self"), "workers": [memory(pid) for pid in children]}
    print(json.dumps(facts), flush=True)

inner = ProgressView.step
def step(self, step, outcome):
    inner(self, step, outcome)
    if step.index in (0, last // 4, last // 2, last):
        report(step.index)
    if step.index == last:
        os.killpg(0, signal.SIGINT)
ProgressView.step = step
raise SystemExit(main(sys.argv[1:]))
"""


class Measured:
    """Commands in processes of their own, and what they took."""

    def __init__(self, cache: Path) -> None:
        self.env = {**os.environ, "XDG_CACHE_HOME": str(cache)}
        self.facts: list[dict[str, Any]] = []

    def run(self, what: str, words: list[str], wanted: tuple[int, ...] = (0,)) -> str:
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
        process = subprocess.Popen(
            [word.replace("BEGAN", str(began)) for word in words],
            env=self.env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that SIGINT comes to its group alone
        )
        out, err = process.communicate()
        seconds, after = time.time() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if process.returncode not in wanted or "Traceback" in err:
            raise SystemExit(f"{what}: exit {process.returncode}\n{out}\n{err}")
        self.note(what, seconds=seconds, cpu=cpu, load=os.getloadavg()[0])
        return out

    def note(self, what: str, **facts: Any) -> None:
        self.facts.append({"what": what, **facts})
        print(json.dumps(self.facts[-1]), flush=True)


def start(measured: Measured, what: str, tree: Path, dataset: str, results: Path) -> None:
    """A run until some steps are done, and SIGINT to its group as of Ctrl-C."""
    values = {"optim.batch": 64, "optim.norm_batch": 64, "optim.lr_batch": 64}
    sets = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
    words = [sys.executable, "-c", WATCHED, "BEGAN", str(STEPS), "run", "--method", "deps"]
    words += ["--dataset", dataset, "--space", "toy", "--epochs", "1", *sets, "--fresh"]
    words += ["--data-dir", str(tree), "--results", str(results), "--device", "cpu"]
    out = measured.run(what, [*words, "--workers", "2"], wanted=(130,))
    for line in out.splitlines():
        if line.startswith("{"):
            measured.note(what, **json.loads(line))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=TRAIN)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--distinct", action="store_true")
    parser.add_argument("--warm", action="store_true", help="hashes are cached: start alone")
    asked = parser.parse_args()
    val = VAL if asked.images == TRAIN else max(CLASSES, asked.images * VAL // TRAIN)
    kind = "distinct" if asked.distinct else "links"
    tree, small = (asked.folder / f"{kind}-{count}" for count in (asked.images, SMALL))
    for path, train, tested in ((tree, asked.images, val), (small, SMALL, CLASSES)):
        if not path.exists():
            make(path, train, tested, asked.distinct)
    measured = Measured(asked.folder / "cache")
    check = [sys.executable, "-m", "ofa_bench", "data", "check", "--json"]
    if not asked.warm:
        for what in ("check, nothing cached", "check again"):
            measured.run(what, [*check, "imagenet", "--data-dir", str(tree)])
    for path in sorted((asked.folder / "cache").rglob("*.*")):
        measured.note("file", name=path.name, megabytes=path.stat().st_size / 1e6)
    measured.run("check, small", [*check, "folder", "--data-dir", str(small)])
    results = asked.folder / "results"
    for number in range(asked.starts):
        start(measured, f"start {number}", tree, "imagenet", results)
        start(measured, f"start {number}, small", small, "folder", results)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()
