"""Rounds in turn, ratios with their spread, and the table that is printed at the end."""

from __future__ import annotations

import operator
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from ofa_bench.hardware import cpu_model

Run = Callable[[], object]
FULL = os.environ.get("OFA_BENCH_FULL", "") not in ("", "0")


@dataclass(frozen=True)
class Line:
    """One ratio: what, against what, the median and the range over the rounds, and the target."""

    what: str
    against: str
    ratios: list[float]
    target: str

    def __str__(self) -> str:
        low, middle, high = min(self.ratios), statistics.median(self.ratios), max(self.ratios)
        spread = f"{low:.2f} to {high:.2f}, n={len(self.ratios)}"
        mark = " **missed**" if self.missed else ""
        return f"| {self.what} | {self.against} | {middle:.2f} | {spread} | {self.target}{mark} |"

    @property
    def missed(self) -> bool:
        """Whether the median is on the wrong side of a target such as "≥ 1.9"."""
        sign, _, bound = self.target.partition(" ")
        middle = statistics.median(self.ratios)
        beyond = {"≥": operator.lt, "≤": operator.gt, "<": operator.ge}.get(sign)
        return beyond is not None and bool(beyond(middle, float(bound)))


@dataclass
class Table:
    """All lines of a session."""

    lines: list[Line] = field(default_factory=list)

    def add(self, line: Line) -> None:
        """Keep it, and print it now: a run that is cut off has not been for nothing."""
        self.lines.append(line)
        print(f"\n{line}", flush=True)

    def compare(
        self, what: str, spent: Mapping[str, list[float]], ours: str, targets: Mapping[str, str]
    ) -> None:
        """Lines of the others' time over ours: above 1 we are faster."""
        for other, target in targets.items():
            ratios = [b / a for a, b in zip(spent[ours], spent[other], strict=True)]
            self.add(Line(what, other, ratios, target))

    def __str__(self) -> str:
        head = "| what | against | ratio | range | target |\n|---|---|---|---|---|"
        return "\n".join([machine(), "", head, *map(str, self.lines)])


TABLE = Table()


def machine() -> str:
    """Where the numbers are from."""
    return (
        f"{cpu_model()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}, Python {platform.python_version()}"
    )


def race(runs: Mapping[str, Run], rounds: int, warm: bool = True) -> dict[str, list[float]]:
    """Seconds of each run in each round, the order reversed each time; after a warm-up, which
    runs of many passes need not."""
    for run in runs.values() if warm else ():
        run()
    spent: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds):
        for name in list(runs) if number % 2 else reversed(list(runs)):
            began = time.perf_counter()
            runs[name]()
            spent[name].append(time.perf_counter() - began)
    return spent
