"""Who watches a run: the progress a person sees, and the event log that is the truth."""

from __future__ import annotations

import json
import math
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Protocol

from ofa_bench.atomic_io import unwritable
from ofa_bench.hooks.hookspecs import Outcome, RunView, Scores, hookimpl
from ofa_bench.limits import limit
from ofa_bench.schedule import Phase, Step

HEARTBEAT = 2.0  # seconds between lines that say how far a run has come


class Progress(Protocol):
    """What a run tells a person while it goes on."""

    def begin(self, total_steps: int, done: int) -> None:
        """Training begins, or goes on, at a step."""

    def micro(self, step: Step, done: int, of: int) -> None:
        """A micro-batch is done."""

    def step(self, step: Step, outcome: Outcome) -> None:
        """A step is done; reading a loss waits for the device, so read few."""

    def waited(self, seconds: float) -> None:
        """A micro-batch's images were not there at once."""

    def note(self, text: str) -> None:
        """Something a person should know."""

    def evaluating(self, done: int, of: int) -> None:
        """The sealed pass: chunks of images scored so far."""


class Silent:
    """Progress that nobody watches."""

    def begin(self, total_steps: int, done: int) -> None:
        """Nothing."""

    def micro(self, step: Step, done: int, of: int) -> None:
        """Nothing."""

    def step(self, step: Step, outcome: Outcome) -> None:
        """Nothing."""

    def waited(self, seconds: float) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def evaluating(self, done: int, of: int) -> None:
        """Nothing."""


class EventLog:
    """`events.jsonl`: one JSON object a line, appended and flushed as things happen."""

    def __init__(self, path: Path, draws: bool) -> None:
        self._path, self._draws = path, draws
        self._stream: IO[str] | None = None
        self._last = 0.0

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
        """A process takes the run up."""
        self._write("start", run=run.run_id)

    @hookimpl
    def phase_start(self, phase: Phase, step: Step) -> None:
        """A phase begins."""
        self._write("phase", phase=phase.name, step=step.index)

    @hookimpl
    def after_step(self, step: Step, outcome: Outcome) -> None:
        """A heartbeat with losses by role; every step's draws where a policy learns."""
        if self._draws:
            drawn = [{"role": d.role.value, **d.subnet.to_json()} for d in outcome.draws]
            self._write("draws", step=step.index, draws=drawn)
        if time.monotonic() - self._last >= HEARTBEAT:
            losses: dict[str, float] = {}
            for draw, loss in zip(outcome.draws, outcome.losses, strict=True):
                losses[draw.role.value] = round(float(loss), 6)
            share = min(outcome.shares, default=1.0)
            self._write("step", step=step.index, lr=outcome.lr, share=share, losses=losses)

    @hookimpl
    def after_eval(self, step: Step, scores: Scores) -> None:
        """A point of the curve."""
        self._write("curve", step=step.index, top1=dict(scores.top1))

    def close(self) -> None:
        """Let the file go."""
        if self._stream is not None:
            with suppress(OSError):  # a full disk has been told of already
                self._stream.close()
            self._stream = None


class Trace:
    """Every hook call with who answers and its microseconds (OFA_BENCH_TRACE=1)."""

    def __init__(self, tell: Callable[[str, str, float], None]) -> None:
        self._tell = tell
        self._began: list[float] = []

    def before(self, hook: str, impls: Any, values: Any) -> None:
        """A call begins."""
        self._began.append(time.perf_counter())

    def after(self, outcome: Any, hook: str, impls: Any, values: Any) -> None:
        """A call is over."""
        spent = (time.perf_counter() - self._began.pop()) * 1e6
        self._tell(hook, ", ".join(impl.plugin_name for impl in impls), spent)


def lost_seconds(path: Path, since: float, bound: float) -> tuple[float, float]:
    """Seconds of training that killed processes did after the checkpoint written at `since`
    (epoch seconds), by the log's own lines; and the seconds beyond `bound` in any of them, which
    a clock that was set explains, and no training. Idle time between processes is not in."""
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
    """The time of each line of a log, and whether a process starts with it."""
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
            continue  # a line cut short by the kill
        if math.isfinite(at):
            yield at, begins
