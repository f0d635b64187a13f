"""How a run is watched: a live bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from typing import TYPE_CHECKING

from ofa_bench.cli import console
from ofa_bench.formatting import duration
from ofa_bench.sanitize import command_line
from ofa_bench.training.callbacks import Progress

if TYPE_CHECKING:
    from ofa_bench.hooks.hookspecs import Outcome
    from ofa_bench.planning.assemble import Assembly
    from ofa_bench.schedule import Step

READ_EVERY = 0.5  # seconds between readings of a loss, each of which waits for the device
LINE_EVERY = 10.0  # seconds between lines of a log, at first
FIRST_LINE = 2.0  # seconds after which work on files is told of
LATER = 60.0  # and when it has gone on for ten minutes
WINDOW = 60.0  # seconds over which speed is measured
WAITING = 0.005  # share of waiting from which it is shown
MUCH_WAITING = 0.1  # share from which it is warned of, once
SETTLED = 20.0  # seconds of training after which waiting is judged


class ProgressRate:
    """What was done a second over the last while."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, ...]] = deque()

    def saw(self, *done: float) -> None:
        """So much is done by now: share of the run, images, seconds waited for them."""
        now = self._clock()
        self._seen.append((now, *done))
        while len(self._seen) > 2 and self._seen[0][0] < now - WINDOW:
            self._seen.popleft()

    @property
    def span(self) -> float:
        """Seconds over which speed is measured."""
        return self._seen[-1][0] - self._seen[0][0] if self._seen else 0.0

    def speeds(self) -> list[float]:
        """Each of them a second; empty while there is no time between two readings."""
        if self.span <= 0:
            return []
        changes = [last - first for first, last in zip(self._seen[0], self._seen[-1], strict=True)]
        return [change / changes[0] for change in changes[1:]]


class ProgressView(Progress):
    """What is known of a run under way. `share` is by MACs, since phases differ in cost."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.warned_of_waiting = False
        self.assembly: Assembly | None = None
        self._reset()

    def _reset(self) -> None:
        self.phase, self.position, self.losses, self.before_training = "", "", {}, False
        self.share, self.images, self.seconds_waited = 0.0, 0.0, 0.0
        self.pace = ProgressRate(self.clock)
        self._read = -READ_EVERY

    losses: dict[str, float]

    def follow(self, assembly: Assembly) -> None:
        """The run that comes next."""
        self.assembly = assembly
        self._reset()

    def begin(self, total_steps: int, done: int) -> None:
        self.phase, self.share, self.before_training = "", 0.0, False
        self.pace = ProgressRate(self.clock)
        if done:
            self.note(f"going on after step {done:,} of {total_steps:,}")

    def micro(self, step: Step, done: int, of: int) -> None:
        if step.phase.name != self.phase:
            self.phase = step.phase.name
            first = step.index - step.phase_step
            self.note(f"phase {self.phase}: {step.phase_steps:,} steps from step {first:,}")
        part = done / of
        self.share = self._share(step, part)
        batch = self.assembly.science.optim.batch if self.assembly else 0
        self.pace.saw(self.share, self.images + part * batch, self.seconds_waited)
        self._warn_of_waiting()
        epochs = f"{step.epoch + part / step.steps_per_epoch:.2f}/{step.budget.epochs:.4g}"
        of_steps = f"{step.index + 1:,}/{self.steps:,}" if self.steps else f"{step.index + 1:,}"
        self.position = f"epoch {epochs} · step {of_steps} · micro-batch {done}/{of}"
        self.moved()

    def _warn_of_waiting(self) -> None:
        """Say once that images come too slowly."""
        waiting = (self.pace.speeds() or [0.0])[-1]
        much = waiting > MUCH_WAITING and self.pace.span >= SETTLED
        if self.warned_of_waiting or not much or self.assembly is None:
            return
        self.warned_of_waiting = True
        dataset = self.assembly.science.dataset
        decode = command_line("ofa-bench", "data", "prepare", dataset, "--cache")
        self.note(
            f"{waiting:.0%} of the time goes by waiting for images: give more --workers "
            f"where cores are free, or decode once with `{decode}`"
        )

    @property
    def steps(self) -> int:
        """Steps of the whole run, as far as known."""
        return self.assembly.schedule.steps if self.assembly else 0

    def _share(self, step: Step, part: float) -> float:
        if self.assembly is None:
            return 0.0
        costs = self.assembly.cost
        before = 0.0
        for cost in costs:
            if cost.name == step.phase.name:
                before += cost.total * (step.phase_step + part) / step.phase_steps
                break
            before += cost.total
        return min(1.0, before / sum(cost.total for cost in costs))

    def step(self, step: Step, outcome: Outcome) -> None:
        self.images += outcome.images
        if step.index + 1 == self.steps:
            self.phase, self.position, self.losses = "evaluation", "", {}
            return
        if self.clock() - self._read < READ_EVERY:
            return
        self._read = self.clock()
        sums: dict[str, list[float]] = {}
        for draw, loss in zip(outcome.draws, outcome.losses, strict=True):
            sums.setdefault(draw.role.value, []).append(float(loss))
        self.losses = {role: sum(values) / len(values) for role, values in sums.items()}

    def evaluating(self, done: int, of: int, unit: str = "chunks") -> None:
        """An evaluation: chunks of images, or subnets, scored so far."""
        if not self.position.endswith(unit) or done / max(of, 1) < self.share:
            self.pace = ProgressRate(self.clock)  # another kind of work, at a speed of its own
        self.phase, self.share = "evaluation", done / of if of else 1.0
        self.position, self.losses = f"{done:,} of {of:,} {unit}", {}
        self.pace.saw(self.share, 0.0, 0.0)
        self.moved()

    def files(self, work: str, done: int, of: int) -> None:
        """Files of the data set, before training."""
        now, self.before_training = self.clock(), True
        if work != self.phase:
            self.phase, self.pace, self._read = work, ProgressRate(self.clock), -READ_EVERY
        if now - self._read < READ_EVERY and done < of:
            return
        self._read = now
        self.share, self.position = done / max(of, 1), f"{done:,} of {of:,}"
        self.pace.saw(self.share, 0.0, 0.0)
        self.moved()

    def waited(self, seconds: float) -> None:
        self.seconds_waited += seconds

    def note(self, text: str) -> None:
        """Something a person should know."""
        console.tell(text)

    def moved(self) -> None:
        """The run went on."""

    def text(self) -> str:
        """All of it in a line."""
        parts = [self.phase, self.position]
        speeds = self.pace.speeds()
        work, images, waiting = speeds or (0.0, 0.0, 0.0)
        if speeds and self.phase != "evaluation" and not self.before_training:
            parts.append(f"{images:,.0f} images/s")
        if waiting >= WAITING:
            parts.append(f"{waiting:.0%} waiting for images")
        if self.losses:
            losses = " ".join(f"{role} {loss:.3f}" for role, loss in self.losses.items())
            parts.append(f"loss {losses}")
        if work:
            parts.append(f"{duration((1 - self.share) / work)} left")
        return " · ".join(part for part in parts if part)


class Log(ProgressView):
    """A line now and then, for files and for people who read them later."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._last = self._began = clock()

    def files(self, work: str, done: int, of: int) -> None:
        """The first line of what takes longer than a moment comes early: nothing else does."""
        if work != self.phase:
            self._last = self.clock() + FIRST_LINE - LINE_EVERY
        super().files(work, done, of)

    def moved(self) -> None:
        """A line, if the last one is old."""
        old = self.clock() - self._began > 10 * LATER
        if self.clock() - self._last >= (LATER if old else LINE_EVERY):
            self._last = self.clock()
            console.tell(f"{self.share:4.0%} {self.text()}")


class Bar(ProgressView):
    """A live bar; notes are printed above it."""

    def __init__(self, above: Callable[[str], None]) -> None:
        super().__init__()
        self._above = above

    def note(self, text: str) -> None:
        """A line above the bar."""
        self._above(text)


@contextmanager
def watched_on(device: str | None) -> Iterator[ProgressView]:
    """As `watching`, for what computes on a device: the allocator is set before torch comes."""
    from ofa_bench.cli.allocator import settle

    settle(device)
    with watching() as watch:
        yield watch


@contextmanager
def watching() -> Iterator[ProgressView]:
    """The watch that suits stderr; processes side by side share a terminal, and write lines."""
    if not sys.stderr.isatty() or parent_process() is not None:
        yield Log()
        return
    bars: list[Bar] = []
    with console.live(lambda: (bars[0].share, bars[0].text()) if bars else (0.0, "")) as above:
        bars.append(Bar(above))
        yield bars[0]
