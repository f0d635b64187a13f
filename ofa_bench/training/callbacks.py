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
from typing import IO, Any, NamedTuple

from ofa_bench.atomic_io import unwritable
from ofa_bench.hooks.hookspecs import Outcome, RunView, Scores, hookimpl
from ofa_bench.limits import limit
from ofa_bench.schedule import Phase, Step
from ofa_bench.training.cost_ledger import MOST_RANKS

HEARTBEAT = 2.0  # seconds between heartbeats, and between progress lines in the event log at first
SLOWEST = 60.0  # and at the most: they grow with a hundredth of the time since the process began
BEAT = "heartbeat"  # a file beside the event log
BEAT_BYTES = 100


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
    `heartbeat` beside it holds the time of the last step, to two seconds, so that a later process
    knows how much training a kill lost; an event `start` repeats it, and has the number of ranks.
    """

    def __init__(self, path: Path, draws: bool, world: int = 1) -> None:
        self._path, self._draws, self._world = path, draws, world
        self._stream: IO[str] | None = None
        self._beats: int | None = None
        self._last, self._began = 0.0, time.monotonic()
        self._beaten = self._began

    def _open(self, path: Path, flags: int) -> int:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o644)

    def _beat(self) -> None:
        """Overwrite the time of the last step, in one write."""
        path = self._path.with_name(BEAT)
        try:
            if self._beats is None:
                self._beats = self._open(path, 0)
            os.pwrite(self._beats, f"{time.time():.3f}\n".encode(), 0)
        except OSError as error:
            raise unwritable(path, error) from error
        self._beaten = time.monotonic()

    def _write(self, kind: str, **values: Any) -> None:
        try:
            if self._stream is None:
                handle = self._open(self._path, os.O_APPEND)
                self._stream = os.fdopen(handle, "a", encoding="utf-8")
            now = time.time()
            self._stream.write(json.dumps({"at": round(now, 3), "event": kind, **values}) + "\n")
            self._stream.flush()
        except OSError as error:
            raise unwritable(self._path, error) from error
        self._last = time.monotonic()

    @hookimpl
    def run_start(self, run: RunView) -> None:
        """A process starts or resumes the run."""
        self._write("start", run=run.run_id, world=self._world, beat=last_beat(self._path))

    @hookimpl
    def phase_start(self, phase: Phase, step: Step) -> None:
        self._write("phase", phase=phase.name, step=step.index)

    @hookimpl
    def after_step(self, step: Step, outcome: Outcome) -> None:
        """Losses by role every HEARTBEAT to SLOWEST seconds; with `draws`, those of the step."""
        now = time.monotonic()
        if now - self._beaten >= HEARTBEAT:
            self._beat()
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

    @hookimpl
    def run_end(self, record: dict[str, Any]) -> None:
        """The run is over: nothing can be lost any more."""
        self._path.with_name(BEAT).unlink(missing_ok=True)

    def close(self) -> None:
        if self._stream is not None:
            with suppress(OSError):  # a full disk was reported by the write
                self._stream.close()
            self._stream = None
        if self._beats is not None:
            os.close(self._beats)
            self._beats = None


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


def lost_seconds(
    path: Path, since: float, bound: float, world: int
) -> tuple[list[tuple[float, int]], float]:
    """What killed processes lost after the checkpoint that `world` ranks wrote at `since` (Unix
    time), from the times in the event log and the heartbeat: the seconds of training and the
    number of ranks of each process; and the seconds beyond `bound` per process, which only a
    changed clock explains. Idle time between processes is excluded."""
    lost: list[tuple[float, int]] = []
    beyond = current = 0.0
    before, ranks = since, world
    for moment in (*_moments(path), Moment(math.inf, last_beat(path))):
        if moment.beat is not None:  # a process ended, at the heartbeat or after its last event
            current += max(0.0, moment.beat - before)
            beyond += max(0.0, current - bound)
            if current:
                lost.append((min(current, bound), ranks))
            current, before = 0.0, max(moment.at, since)
            ranks = moment.world if moment.world and moment.at > since else world
        elif moment.at > since:
            current += max(0.0, moment.at - before)
            before = moment.at
    return lost, beyond


def last_beat(log: Path) -> float:
    """The last heartbeat beside an event log, in Unix time; 0 if there is none that can be read."""
    path = log.with_name(BEAT)
    try:
        about = path.lstat()
        if not stat.S_ISREG(about.st_mode) or about.st_size > BEAT_BYTES:
            return 0.0
        at = float(path.read_bytes())
    except (OSError, ValueError):
        return 0.0
    return at if math.isfinite(at) else 0.0


class Moment(NamedTuple):
    """The Unix time of a line of an event log; and where a process starts, the last heartbeat of
    the one before it, 0 if that is not known, and its own number of ranks, likewise."""

    at: float
    beat: float | None = None
    world: int = 0


def _moments(path: Path) -> Iterator[Moment]:
    """The lines of an event log that can be read."""
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
            at = float(event["at"])
            beat = float(event.get("beat", 0.0)) if event["event"] == "start" else None
            world = event.get("world")
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            continue  # a line truncated by a kill
        if math.isfinite(at) and (beat is None or math.isfinite(beat)):
            known = type(world) is int and 1 <= world <= MOST_RANKS
            yield Moment(at, beat, world if known else 0)
