"""Tasks of a comparison told to stop at random moments, and a node's daemon killed between.

python -m tests.launch.preempt --terms 20
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.launch.cluster import Cluster

METHODS, SEEDS, TASKS = "deps,random-subnet", 4, 8
LINE = ["compare", "--methods", METHODS, "--seeds", str(SEEDS), "--space", "toy", "--epochs", "8"]
LINE += ["--set", "evaluate.per_bucket=2", "--yes", "--json"]


@dataclass
class Campaign:
    """One comparison on one cluster, and what was done to it."""

    cluster: Cluster
    folder: Path
    rng: random.Random
    signalled: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    length: float = 0.0  # seconds of one task that is not disturbed

    def call(self, results: str, *more: str) -> Any:
        """The comparison's line; its JSON."""
        words = [sys.executable, "-m", "ofa_bench", *LINE, "--results", str(self.folder / results)]
        env = {**os.environ, **self.cluster.env, "OMP_NUM_THREADS": "1"}
        done = subprocess.run([*words, *more], env=env, capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(f"{more}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return json.loads(done.stdout)

    def submit(self) -> dict[str, int]:
        """Submit what is missing; the states after that."""
        began = time.monotonic()
        launch = self.call("there", "--launch", str(self.folder / "slurm.toml"))["launch"]
        if launch["submitted"]:
            self.seconds.append(time.monotonic() - began)
        states: dict[str, int] = launch["states"]
        return states

    def stop_one(self) -> None:
        """TERM to the script of one running task, at a random moment of what a task takes."""
        time.sleep(self.rng.uniform(0, self.length / 3))
        running = [name for name, state in self.cluster.tasks().items() if state == "RUNNING"]
        task = self.rng.choice(running) if running else ""
        pid = self.cluster.script(task) if task else None
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
                self.signalled[task] += 1

    def run(self, terms: int) -> int:
        """Until all runs are done; how often the line had to be given again."""
        again, killed, began = 0, False, time.monotonic()
        self.call("alone", "--seeds", "0,", "--methods", "deps")
        self.length = time.monotonic() - began
        self.submit()
        while True:
            if self.cluster.over():
                if self.submit()["done"] == TASKS:
                    return again
                again += 1
            elif self.signalled.total() < terms:
                self.stop_one()
            else:
                time.sleep(1)
            if not killed and self.signalled.total() >= terms // 2:
                self.cluster.restart_node()
                killed = True

    def check(self) -> Counter[str]:
        """The weights of a local comparison, and no restart without a signal."""
        self.call("here")
        here, there = (weights(self.folder / name) for name in ("here", "there"))
        other = [run for run in here if there.get(run) != here[run]]
        self.lost += [f"{run}: {there.get(run)} is not {here[run]}" for run in other]
        text = self.cluster.call("squeue", "-h", "--array", "--states=all", "--format=%F_%K")
        restarts = Counter({task: self.cluster.restarts(task) for task in text.split()})
        for task, count in restarts.items():
            if count > self.signalled[task]:
                self.lost.append(f"{task}: {count} restarts for {self.signalled[task]} signals")
        return restarts


def weights(results: Path) -> dict[tuple[str, int], str]:
    records = [json.loads(path.read_text()) for path in results.glob("records/*/*/*.json")]
    return {(r["method"]["name"], r["seed"]): r["weights_sha256"] for r in records}


def main() -> int:
    """A campaign; counts at the end."""
    parser = argparse.ArgumentParser(prog="python -m tests.launch.preempt", description=__doc__)
    parser.add_argument("--terms", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="preempt-") as name:
        folder = Path(name)
        (folder / "slurm.toml").write_text('launcher = "slurm"\ngpus = 0\nat_once = 2\n')
        cluster = Cluster(folder / "cluster")
        try:
            campaign = Campaign(cluster, folder, random.Random(asked.seed))
            again = campaign.run(asked.terms)
            restarts = campaign.check()
            ends = "\n".join(p.read_text() for p in (folder / "there").glob("runs/launches/*.log"))
        finally:
            cluster.close()
    lines = [line for line in ends.splitlines() if line.startswith("task ")]
    codes = Counter(line.partition("exit code ")[2].partition(")")[0] for line in lines)
    print(f"{campaign.signalled.total()} TERMs to {len(campaign.signalled)} of {TASKS} tasks")
    print(f"restarts: {restarts.total()}; stopped with exit code: {dict(codes)}")
    print(
        f"the node's daemon was killed and restarted once; the line was given again {again} times"
    )
    print(f"submissions took {', '.join(f'{seconds:.1f} s' for seconds in campaign.seconds)}")
    print(f"{len(campaign.lost)} losses", *campaign.lost, sep="\n")
    return 1 if campaign.lost else 0


if __name__ == "__main__":
    sys.exit(main())
