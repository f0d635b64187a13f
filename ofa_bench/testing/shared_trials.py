"""Short training runs that several clauses share, and the second process for comparison."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import weakref
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ofa_bench.testing.short_run import Trial, attempt, short

if TYPE_CHECKING:
    from ofa_bench.testing.case import Case

LISTED = ("shrink", "lr", "distill", "extra", "supernet")


class Crew:
    """The short runs and second-process results of one plugin, each computed once, on first use.

    `cases`: those that another process can import. `training`: those of them that train.
    """

    def __init__(self) -> None:
        self.cases: list[Case] = []
        self.training: list[Case] = []
        self.modules: list[str] = []
        self._folder = tempfile.TemporaryDirectory()
        self._results: dict[str, str] = {}
        self._trials: dict[tuple[Any, ...], Trial] = {}

    def join(self, case: Case, trains: bool) -> None:
        """Add a case of the plugin; `trains`: whether clauses that train apply to it."""
        if case.entry.kind in LISTED and case.module not in ("", *self.modules):
            self.modules.append(case.module)
        if case.entry.kind in (*LISTED, "method") and case.movable:
            self.cases.append(case)
            if trains:
                self.training.append(case)

    def trial(self, case: Case, rate: float, halts: tuple[int, ...] = ()) -> Trial:
        """A run in this process alone at a learning rate, stopped and resumed after `halts`."""
        key = (str(case), rate, halts)
        if key not in self._trials:
            folder = self.folder / f"{case.entry.kind}-{case.entry.name}" / str(len(self._trials))
            asked = short(case.asked(), case.schedule, folder, rate)
            self._trials[key] = attempt(asked, case.catalogue, halts)
        return self._trials[key]

    @property
    def folder(self) -> Path:
        return Path(self._folder.name)

    def elsewhere(self, case: Case, kind: str) -> tuple[str, list[Path]]:
        """The error of a case's "plan" or "train" in the second process ("" if none), and the files
        that it wrote."""
        number = self._numbers[str(case)]
        trouble = self._hear(f"{kind} {number}")
        files = sorted(self.folder.glob(f"{number}.json" if kind == "plan" else f"{number}-*.pt"))
        return trouble, files

    def imported(self, module: str) -> str:
        """The heavy libraries that importing a module or file loads in the second process,
        separated by commas; "failed: …" if the import failed."""
        return self._hear(f"import {module}")

    def start(self) -> None:
        """Start the second process, if it is not running."""
        assert self._stream

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {str(case): n for n, case in enumerate(c for c in self.cases if c.unfit is None)}

    @cached_property
    def _stream(self) -> IO[str]:
        plans = [_plain(case.asked()) for case in self.cases if case.unfit is None]
        trains = [self._numbers[str(c)] for c in self.training if str(c) in self._numbers]
        jobs = {"imports": self.modules, "plans": plans, "trains": trains}
        (self.folder / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
        command = [sys.executable, "-m", "ofa_bench.testing.second_process", str(self.folder)]
        process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONHASHSEED": "7", "LOCAL_RANK": "1"},
            stdout=subprocess.PIPE,
            stderr=(self.folder / "stderr.txt").open("wb"),
            text=True,
            start_new_session=True,  # so that its ranks end with it
        )
        weakref.finalize(self, _end, process, self._folder)
        assert process.stdout is not None
        return process.stdout

    def _hear(self, what: str) -> str:
        while what not in self._results:
            line = self._stream.readline()
            if not line:
                errors = (self.folder / "stderr.txt").read_text(errors="replace").split("\n")
                reason = next((text for text in reversed(errors) if text.strip()), "it ended")
                return f"failed: {reason}"
            name, _, rest = line.rstrip("\n").partition(": ")
            self._results[name.rstrip(":")] = rest
        return self._results[what]


def _plain(asked: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(asked).items() if value not in (None, (), False)}


def _end(process: subprocess.Popen[str], folder: tempfile.TemporaryDirectory[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
    folder.cleanup()
