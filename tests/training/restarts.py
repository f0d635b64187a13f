"""Ranks killed at random moments under torchrun, and started again by it: what must hold then.

python -m tests.training.restarts --kills 5
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file

from tests.running import descendants, ended, free_port, gone, kill, until
from tests.training.counted import Trained, trained

GUARD = 900.0
SMALL = ["--set", "evaluate.per_bucket=1", "--set", "evaluate.curve=0", "--space", "toy"]
SMALL += ["--checkpoint-every", "2steps"]
KINDS = {
    "digits": ["--dataset", "digits", "--method", "deps", "--epochs", "3"],
    "images": ["--dataset", "folder", "--method", "ofa", "--epochs", "4", "--workers", "2"],
}
SIZES = {"digits": (256, 64), "images": (48, 12)}  # images of a batch, and of its micro-batches


class Lost(AssertionError):
    """Something that should have outlived a kill did not."""


def tree(root: Path) -> Path:
    """200 small JPEGs in two classes, no two alike."""
    for split, count in (("train", 80), ("val", 20)):
        for label, shade in (("dark", 60), ("light", 180)):
            folder = root / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                noise = Image.effect_noise((48 + number % 7, 44), 60)
                image = noise.point([min(255, max(0, v - 128 + shade)) for v in range(256)])
                image.convert("RGB").save(folder / f"{number:03d}.jpg")
    return root


@dataclass
class Campaign:
    """Runs of one kind of data below one folder; `times` counts the kills."""

    folder: Path
    kind: str
    rng: random.Random
    times: int = 0
    seconds: list[float] = field(default_factory=list)  # from a kill to the next step

    def line(self, name: str, pause: float, *launch: str) -> list[str]:
        """The command line of a run's ranks, under a launcher or alone."""
        log = self.folder / name / "log"
        log.mkdir(parents=True, exist_ok=True)
        batch, part = SIZES[self.kind]
        words = [sys.executable, *launch, "-m", "tests.training.counted", str(log), str(pause)]
        words += ["run", *KINDS[self.kind], *SMALL, "--set", f"optim.batch={batch}"]
        words += ["--set", f"optim.norm_batch={part}"]
        words += ["--results", str(self.folder / name / "results")]
        if self.kind == "images":
            words += ["--data-dir", str(self.folder.parent / "tree")]
        return words

    def torchrun(self, name: str, world: int, pause: float, restarts: int) -> list[str]:
        """The same under torchrun on one node."""
        launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(world))
        return self.line(name, pause, *launch, "--max-restarts", str(restarts))

    def attempts(self, name: str) -> set[str]:
        """Those that trained a step."""
        return {path.stem.split("-")[0] for path in (self.folder / name / "log").glob("*-0-*")}

    def steps(self, name: str) -> int:
        """The step of the newest checkpoint."""
        found = (self.folder / name).glob("results/runs/*/checkpoint/*.pt")
        return max((int(path.stem) for path in found), default=0)

    @contextmanager
    def launched(self, line: list[str]) -> Iterator[subprocess.Popen[str]]:
        """A process whose output goes to files, so that no pipe fills."""
        with (
            (self.folder / "out").open("a") as out,
            (self.folder / "err").open("a") as err,
        ):
            process = subprocess.Popen(
                line, stdout=out, stderr=err, text=True, start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
            try:
                yield process
            finally:
                for pid in [process.pid, *descendants(process.pid)]:
                    kill(pid)
                process.wait()

    def disturbed(self, name: str, world: int, kills: int, stop: int | None = None) -> None:
        """A run under torchrun whose ranks are killed so often, at random; `stop`: TERM to torchrun
        at that step, else the run ends well."""
        before = self.attempts(name)
        with self.launched(self.torchrun(name, world, 0.15, kills)) as run:
            for left in range(kills, -1, -1):
                began = time.monotonic()
                self.await_step(name, before, run)
                if left < kills:
                    self.seconds.append(time.monotonic() - began)
                if ended(run) or not left:
                    break
                before = self.attempts(name)
                time.sleep(self.rng.uniform(0, 2))
                self.kill_one(run.pid)
            if stop is not None:
                until(lambda: self.steps(name) >= stop or ended(run), f"step {stop}", GUARD)
                everyone = descendants(run.pid)
                run.send_signal(signal.SIGTERM)
                run.wait(GUARD)
                until(lambda: gone(everyone), "the end of all ranks and workers")
            elif run.wait(GUARD):
                raise Lost(f"{name}: exit code {run.returncode}; see {self.folder}/err")

    def await_step(self, name: str, before: set[str], run: subprocess.Popen[str]) -> None:
        """Wait until an attempt that is not among those before trains a step."""
        until(lambda: self.attempts(name) - before or ended(run), "a step", GUARD)

    def kill_one(self, pid: int) -> None:
        """SIGKILL to a random rank; those of its workers must end by themselves."""
        ranks = ranks_of(pid)
        if not ranks:
            return
        victim = self.rng.choice(ranks)
        workers = descendants(victim)
        kill(victim)
        self.times += 1
        until(lambda: gone(workers), "the end of a killed rank's workers")

    def check(self, name: str) -> Trained:
        """Each image of an epoch once, no scraps, one record."""
        log = trained(self.folder / name / "log")
        if not log.once_each():
            raise Lost(f"{name}: not each image once an epoch")
        scraps = list((self.folder / name / "results").rglob("*.part"))
        if scraps or len(list((self.folder / name).glob("results/records/*/*/*.json"))) != 1:
            raise Lost(f"{name}: {scraps} left, or not one record")
        return log

    def weights(self, name: str) -> dict[str, torch.Tensor]:
        (file,) = (self.folder / name).glob("results/runs/*/weights.safetensors")
        return load_file(str(file))

    def apart(self, one: str, other: str) -> float:
        """The greatest difference of two runs' weights, in parts of the largest weight."""
        ours, theirs = self.weights(one), self.weights(other)
        most = max(float((ours[n].double() - theirs[n].double()).abs().max()) for n in ours)
        return most / max(float(value.abs().max()) for value in ours.values())


def ranks_of(pid: int) -> list[int]:
    """The ranks that a torchrun process has started."""
    ranks = []
    for child in descendants(pid):
        try:
            variables = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
            parent = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if int(parent) == pid and any(name.startswith(b"RANK=") for name in variables):
            ranks.append(child)
    return sorted(ranks)


def same_ranks(campaign: Campaign, kills: int) -> None:
    """Two ranks throughout: the bits of an undisturbed run."""
    campaign.disturbed("whole", 2, 0)
    campaign.check("whole")
    campaign.disturbed("killed", 2, kills)
    log = campaign.check("killed")
    difference = campaign.apart("whole", "killed")
    print(
        f"{campaign.kind}: 2 ranks, {log.attempts} attempts, {log.redone} of {len(log.worlds)} "
        f"steps redone, each image of an epoch once; weights differ by {difference}",
        flush=True,
    )
    if difference:
        raise Lost("not the bits of an undisturbed run")


def other_ranks(campaign: Campaign, kills: int) -> None:
    """Two ranks, then one, then four, killed in between: within rounding of an undisturbed run."""
    steps = len(trained(campaign.folder / "whole" / "log").worlds)
    parts = [kills // 3 + (number < kills % 3) for number in range(3)]
    campaign.disturbed("changed", 2, parts[0], steps // 3)
    campaign.disturbed("changed", 1, parts[1], 2 * steps // 3)
    campaign.disturbed("changed", 4, parts[2])
    log = campaign.check("changed")
    print(
        f"{campaign.kind}: 2, 1, 4 ranks, {log.attempts} attempts, {log.redone} of {steps} steps "
        f"redone, each image of an epoch once; weights differ by "
        f"{campaign.apart('whole', 'changed'):.2g} of the largest",
        flush=True,
    )
    if list(dict.fromkeys(log.worlds.values())) != [2, 1, 4]:
        raise Lost("not trained by 2, 1 and 4 ranks")


def two_nodes(campaign: Campaign) -> None:
    """A rank killed on one of two nodes: both start again together."""
    name, port = "nodes", free_port()
    launch = ("-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1")
    launch += ("--max-restarts", "2", "--rdzv-backend", "c10d", "--rdzv-id", name)
    launch += ("--rdzv-endpoint", f"localhost:{port}")
    line = campaign.line(name, 0.15, *launch)
    with campaign.launched(line) as first, campaign.launched(line) as second:
        for _ in range(2):
            before = campaign.attempts(name)
            campaign.await_step(name, before, first)
            campaign.kill_one(campaign.rng.choice([first, second]).pid)
        codes = [node.wait(GUARD) for node in (first, second)]
    log = campaign.check(name)
    difference = campaign.apart("whole", name)
    print(
        f"{campaign.kind}: 2 nodes of a rank, {log.attempts} attempts, exit codes {codes}, "
        f"{log.redone} of {len(log.worlds)} steps redone; weights differ by {difference}",
        flush=True,
    )
    if difference or any(codes):
        raise Lost("not the bits of an undisturbed run")


def signals(campaign: Campaign) -> None:
    """Each signal at torchrun alone, and at torchrun and all ranks."""
    for kind in ("TERM", "INT", "HUP", "USR1", "KILL"):
        for group in (False, True):
            if group and kind == "KILL":  # nothing can be saved
                continue
            name = f"{kind}-{group}"
            line = campaign.torchrun(name, 2, 0.15, 2)
            line += ["--checkpoint-every", "1h"]
            with campaign.launched(line) as run:
                campaign.await_step(name, set(), run)
                time.sleep(1)
                everyone = descendants(run.pid)
                began, number = time.monotonic(), getattr(signal, f"SIG{kind}")
                (os.killpg if group else os.kill)(run.pid, number)
                run.wait(GUARD)
                until(lambda everyone=everyone: gone(everyone), "the end of all ranks", GUARD)
                took = time.monotonic() - began
            step, done = campaign.steps(name), trained(campaign.folder / name / "log").worlds
            print(
                f"{campaign.kind}: SIG{kind} at torchrun{' and its ranks' * group}: all over in "
                f"{took:.1f} s, saved at step {step} of {max(done)} begun",
                flush=True,
            )
            if step < max(done) - 1:
                raise Lost(f"SIG{kind}: the state is not saved")


def main() -> int:
    """A campaign; what it found."""
    parser = argparse.ArgumentParser(prog="python -m tests.training.restarts", description=__doc__)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default="digits,images")
    parser.add_argument("--parts", default="same,other,nodes,signals")
    asked = parser.parse_args()
    lost: list[str] = []
    with tempfile.TemporaryDirectory(prefix="restarts-") as name:
        tree(Path(name) / "tree")
        for kind in asked.kinds.split(","):
            campaign = Campaign(Path(name) / kind, kind, random.Random(asked.seed))
            campaign.folder.mkdir()
            parts: dict[str, Any] = {
                "same": lambda campaign=campaign: same_ranks(campaign, asked.kills),
                "other": lambda campaign=campaign: other_ranks(campaign, asked.kills),
                "nodes": lambda campaign=campaign: two_nodes(campaign),
                "signals": lambda campaign=campaign: signals(campaign),
            }
            for part in asked.parts.split(","):
                try:
                    parts[part]()
                except AssertionError as error:
                    lost.append(f"{kind}, {part}: {error}")
                    print((campaign.folder / "err").read_text()[-3000:], file=sys.stderr)
            times = sorted(campaign.seconds)
            median = times[len(times) // 2] if times else 0.0
            print(f"{kind}: {campaign.times} kills; {median:.0f} s to the next step (median)")
    print(f"{len(lost)} losses", *lost, sep="\n")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
