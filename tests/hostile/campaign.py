"""Many cases of many kinds on a few servers: counts, and findings that can be replayed.

python -m tests.hostile --minutes 30 [--kind records …] [--seed 0] [--keep DIR]
python -m tests.hostile --replay DIR
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ENDS = ("success", "refused", "finding")


class Died(Exception):
    """The server itself is gone, which no case may bring about."""


class Server:
    """One server process; `ask` is answered with what came of a case."""

    def __init__(self, corpus: Path, box: Path) -> None:
        self.box = box
        environment = {**os.environ, "MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = f"{ROOT}:{environment.get('PYTHONPATH', '')}"
        environment.pop("OFA_BENCH_DEBUG", None)
        environment.pop("OFA_BENCH_DATA", None)
        self._log = (box.parent / f"{box.name}.log").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.server", str(corpus), str(box)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
        )
        self._answer()

    def ask(self, **wish: Any) -> dict[str, Any]:
        """Run one case; raises Died."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(wish) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise Died(self._tail()) from error
        return self._answer()

    def close(self) -> None:
        """End it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Died(self._tail())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _tail(self) -> str:
        self._log.seek(0)
        return self._log.read()[-3000:]


@dataclass
class Finding:
    """A case that ended as none may; `signature` is alike for the same fault."""

    kind: str
    seed: int
    what: str
    detail: str
    kept: str = ""

    @property
    def signature(self) -> tuple[str, str, str]:
        said = re.sub(r"^\[.*?\]: ", "", self.detail)
        said = re.sub(r"/\S+|[0-9a-f]{8,}|'[^']*'|\"[^\"]*\"|\d+|\\x..", "~", said)
        return self.kind, self.what, said[:70]

    def __str__(self) -> str:
        return f"{self.kind} {self.seed}: {self.what}: {self.detail}\n    replay: {self.replay}"

    @property
    def replay(self) -> str:
        """The command that runs it again."""
        return f"python -m tests.hostile --kind {self.kind} --seed {self.seed} --cases 1"


@dataclass
class Campaign:
    """What came of all cases so far, by kind."""

    keep: Path
    ends: dict[str, Counter[str]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    slowest: dict[str, float] = field(default_factory=dict)
    largest: dict[str, int] = field(default_factory=dict)

    def run(self, jobs: Iterator[tuple[str, int]], root: Path, servers: int, end: float) -> None:
        """Do the jobs until there are no more, or it is late."""
        corpus, lock, stopped = root / "corpus", threading.Lock(), threading.Event()
        Server(corpus, root / "first").close()

        def work(number: int) -> None:
            server = Server(corpus, root / f"box-{number}")
            while time.monotonic() < end and not stopped.is_set():
                with lock:
                    job = next(jobs, None)
                if job is None:
                    break
                try:
                    answer = judged(server, *job)
                except Died as error:
                    answer = {
                        "codes": [],
                        "findings": [["server", str(error)]],
                        "seconds": 0,
                        "mebibytes": 0,
                    }
                    server = Server(corpus, root / f"box-{number}")
                with lock:
                    self.note(*job, answer, server.box)
            server.close()

        errors: Queue[BaseException] = Queue()
        threads = [
            threading.Thread(target=_guarded, args=(work, n, errors)) for n in range(servers)
        ]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except KeyboardInterrupt:
            stopped.set()  # the cases in progress end first
            for thread in threads:
                thread.join()
        try:
            raise errors.get_nowait()
        except Empty:
            return

    def note(self, kind: str, seed: int, answer: dict[str, Any], box: Path) -> None:
        """Count a case, and keep the first of each fault."""
        codes, found = answer["codes"], answer["findings"]
        end = "finding" if found else "refused" if any(codes) else "success"
        self.ends.setdefault(kind, Counter())[end] += 1
        self.slowest[kind] = max(self.slowest.get(kind, 0), answer["seconds"])
        self.largest[kind] = max(self.largest.get(kind, 0), answer["mebibytes"])
        for what, detail in found:
            finding = Finding(kind, seed, what, detail)
            if finding.signature not in {other.signature for other in self.findings}:
                finding.kept = str(self._kept(finding, box))
                print(finding, f"    kept: {finding.kept}", sep="\n", file=sys.stderr, flush=True)
            self.findings.append(finding)

    def _kept(self, finding: Finding, box: Path) -> Path:
        to = self.keep / f"{finding.kind}-{finding.seed}-{finding.what}"
        shutil.rmtree(to, ignore_errors=True)
        to.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", str(box), str(to)], check=False, stderr=subprocess.DEVNULL)
        (to / "finding.txt").write_text(f"{finding}\n", errors="backslashreplace")
        return to

    def distinct(self) -> list[tuple[Finding, int]]:
        """One finding of each fault, and how often it came."""
        counts = Counter(finding.signature for finding in self.findings)
        first = {finding.signature: finding for finding in reversed(self.findings)}
        return [(first[signature], count) for signature, count in counts.most_common()]

    def table(self) -> str:
        """Counts by kind."""
        lines = [
            f"{'kind':12} {'cases':>7} {'success':>8} {'refused':>8} {'findings':>8}"
            f" {'slowest s':>9} {'MiB':>6}"
        ]
        for kind, ends in [*self.ends.items(), ("all", sum(self.ends.values(), Counter()))]:
            told = [ends[end] for end in ENDS]
            slow = max(self.slowest.values(), default=0) if kind == "all" else self.slowest[kind]
            large = max(self.largest.values(), default=0) if kind == "all" else self.largest[kind]
            lines.append(
                f"{kind:12} {sum(told):7} "
                + " ".join(f"{n:8}" for n in told)
                + f" {slow:9.1f} {large:6}"
            )
        return "\n".join(lines)


def judged(server: Server, kind: str, seed: int) -> dict[str, Any]:
    """A case's end; one that was too slow is tried again, since the machine may have been busy."""
    answer = server.ask(kind=kind, seed=seed)
    if any(what == "hang" for what, _ in answer["findings"]):
        answer = server.ask(kind=kind, seed=seed)
    return answer


def _guarded(work: Any, number: int, errors: Queue[BaseException]) -> None:
    try:
        work(number)
    except BaseException as error:
        errors.put(error)


def in_turn(counts: dict[str, int], first: int = 0) -> Iterator[tuple[str, int]]:
    """(kind, seed) for as many of each kind as are asked for, kinds mixed evenly."""
    order = [
        ((seed + 0.5) / count, kind, seed)
        for kind, count in counts.items()
        for seed in range(count)
    ]
    for _, kind, seed in sorted(order):
        yield kind, first + seed


def without_end(kinds: Sequence[str], first: int) -> Iterator[tuple[str, int]]:
    """All kinds in turn, one seed after the other."""
    seed = first
    while True:
        yield from ((kind, seed) for kind in kinds)
        seed += 1
