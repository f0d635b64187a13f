"""Callbacks of a run: the progress interface, the event log, and the trace of hook calls."""

from __future__ import annotations

import json
import math
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from ofa_bench.atomic_io import unwritable
from ofa_bench.hooks.hookspecs import Outcome, RunView, Scores, hookimpl
from ofa_bench.limits import limit
from ofa_bench.schedule import Phase, Step

HEARTBEAT = 2.0  # seconds between progress lines in the event log, at the least
SLOWEST = 60.0  # and at the most: they grow with a hundredth of the time since the process began


class Progress:
    """What a run reports its progress to; whatever a subclass does not take up is discarded."""

    def begin(self, total_steps: int, done: int) -> None:
        """Training starts or resumes after `done` of `total_steps` steps."""

    def micro(self, step: Step, done: int, of: int) -> None:
        """Micro-batch `done` of `of` of a step is complete."""

    def step(self, step: Step, outcome: Outcome) -> None:
        """A step is complete; reading a loss synchronizes with the device, so read few."""

    def waited(self, seconds: float) -> None:
        """The loop waited this long for a micro-batch."""

    def files(self, work: str, done: int, of: int) -> None:
        """Before training: `done` of `of` files are listed, compared, hashed or decoded."""

    def note(self, text: str) -> None:
        """A message for the user."""

    def evaluating(self, done: int, of: int, unit: str = "chunks") -> None:
        """An evaluation has scored `done` of `of` chunks of images, or other units."""


class Silent(Progress):
    """Progress that is discarded."""


def paced(show: Callable[[str, int, int], None], seconds: float) -> Callable[[str, int, int], None]:
    """Shows what is done, and how much of how much, at most once in so many seconds."""
    last = time.monotonic()

    def shown(work: str, done: int, of: int) -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            show(work, done, of)

    return shown


class EventLog:
    """`events.jsonl`: one JSON object per line, appended and flushed at every event.

    Events are phases, points of the curve, and progress by time: the file does not grow by steps.
    """

    def __init__(self, path: Path, draws: bool) -> None:
        self._path, self._draws = path, draws
        self._stream: IO[str] | None = None
        self._last, self._began = 0.0, time.monotonic()

    def _write(self, kind: str, **values: Any) -> None:
        try:
            if self._stream is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
                self._stream = os.fdopen(os.open(self._path, flags, 0o644), "a", encoding="utf-8")
            now = time.time()
            self._stream.write(json.dumps({"at": round(now, 3), "event": kind, **values}) + "\n")
            self._stream.flush()
        except OSError as error:
            raise unwritable(self._path, error) from error
        self._last = time.monotonic()

    @hookimpl
    def run_start(self, run: RunView) -> None:
        """A process starts or resumes the run."""
        self._write("start", run=run.run_id)

    @hookimpl
    def phase_start(self, phase: Phase, step: Step) -> None:
        self._write("phase", phase=phase.name, step=step.index)

    @hookimpl
    def after_step(self, step: Step, outcome: Outcome) -> None:
        """Losses by role every HEARTBEAT to SLOWEST seconds; with `draws`, those of the step."""
        now = time.monotonic()
        if now - self._last >= min(SLOWEST, max(HEARTBEAT, (now - self._began) / 100)):
            losses: dict[str, float] = {}
            for draw, loss in zip(outcome.draws, outcome.losses, strict=True):
                losses[draw.role.value] = round(float(loss), 6)
            share = min(outcome.shares, default=1.0)
            more: dict[str, Any] = {"lr": outcome.lr, "share": share, "losses": losses}
            if self._draws:
                draws = outcome.draws
                more["draws"] = [{"role": d.role.value, **d.subnet.to_json()} for d in draws]
            self._write("step", step=step.index, **more)

    @hookimpl
    def after_eval(self, step: Step, scores: Scores) -> None:
        """A point of the training curve."""
        self._write("curve", step=step.index, top1=dict(scores.top1))

    def close(self) -> None:
        if self._stream is not None:
            with suppress(OSError):  # a full disk was reported by the write
                self._stream.close()
            self._stream = None


class Trace:
    """Reports every hook call with its plugins and microseconds (OFA_BENCH_TRACE=1)."""

    def __init__(self, tell: Callable[[str, str, float], None]) -> None:
        self._tell = tell
        self._began: list[float] = []

    def before(self, hook: str, impls: Any, values: Any) -> None:
        self._began.append(time.perf_counter())

    def after(self, outcome: Any, hook: str, impls: Any, values: Any) -> None:
        spent = (time.perf_counter() - self._began.pop()) * 1e6
        self._tell(hook, ", ".join(impl.plugin_name for impl in impls), spent)


def lost_seconds(path: Path, since: float, bound: float) -> tuple[float, float]:
    """Seconds of training that killed processes lost after the checkpoint written at `since` (Unix
    time), from the times in the event log; and the seconds beyond `bound` per process, which only
    a changed clock explains. Idle time between processes is excluded."""
    lost = beyond = current = 0.0
    before = since
    for at, begins in _moments(path):
        if begins:
            lost, beyond = lost + min(current, bound), beyond + max(0.0, current - bound)
            current, before = 0.0, max(at, since)
        elif at > since:
            current += max(0.0, at - before)
            before = at
    return lost + min(current, bound), beyond + max(0.0, current - bound)


def _moments(path: Path) -> Iterator[tuple[float, bool]]:
    """The Unix time of each line of an event log, and whether a process starts there."""
    try:
        about = path.lstat()
        if not stat.S_ISREG(about.st_mode):
            return
        with path.open("rb") as stream:
            stream.seek(max(0, about.st_size - limit("event-log-bytes")))
            lines = stream.read().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            event = json.loads(line)
            at, begins = float(event["at"]), event["event"] == "start"
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            continue  # a line truncated by a kill
        if math.isfinite(at):
            yield at, begins
