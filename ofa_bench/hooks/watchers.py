"""Watchers: extras that do not affect training. Their exceptions never end a run.

The first exception of each watcher is shown with its plugin and line; all are counted, and the
record's notes hold the counts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pluggy

from ofa_bench.errors import BenchError, Interrupted
from ofa_bench.hooks.hookspecs import PROJECT, Outcome, RunView, Scores, TrainingSpec
from ofa_bench.hooks.tracebacks import source_line
from ofa_bench.sanitize import plain_text
from ofa_bench.schedule import Phase, Step

OBSERVERS = frozenset({"run_start", "phase_start", "after_step", "after_eval", "run_end"})
LONGEST = 300  # characters of a mistake that a record keeps


def relay() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(TrainingSpec)
    return manager


class _View:
    """A view of some of a plugin's methods; pluggy identifies plugins by equality, so each view is
    a new object."""


def acting_part(plugin: object) -> object:
    """A view of a watcher without its observer hooks: those that act, such as wrappers."""
    marked = [n for n in dir(plugin) if hasattr(getattr(plugin, n, None), f"{PROJECT}_impl")]
    view = _View()
    vars(view).update({n: getattr(plugin, n) for n in marked if n not in OBSERVERS})
    return view


def at(step: Step) -> str:
    """A step's description for messages."""
    return f"at step {step.index} of phase {step.phase.name!r}"


class Announcer(ABC):
    """One typed method per observer hook."""

    @abstractmethod
    def _tell(self, hook: str, where: str, **values: Any) -> None:
        """Call a hook of every observer; `where` says when, for messages."""

    def run_start(self, run: RunView) -> None:
        self._tell("run_start", "as the run begins", run=run)

    def phase_start(self, phase: Phase, step: Step) -> None:
        self._tell("phase_start", at(step), phase=phase, step=step)

    def after_step(self, step: Step, outcome: Outcome) -> None:
        self._tell("after_step", at(step), step=step, outcome=outcome)

    def after_eval(self, step: Step, scores: Scores) -> None:
        self._tell("after_eval", at(step), step=step, scores=scores)

    def run_end(self, record: Mapping[str, Any]) -> None:
        self._tell("run_end", "as the run ends", record=record)


@dataclass
class Mistakes:
    """The number of a watcher's exceptions, and the first one's message."""

    count: int
    first: str


class Watchers:
    """The watchers of one run. `tell` shows the user each watcher's first exception."""

    def __init__(self, label: Callable[[str], str]) -> None:
        self._label = label
        self._relays: dict[str, pluggy.PluginManager] = {}
        self.mistakes: dict[str, Mistakes] = {}
        self.tell: Callable[[str], None] = lambda text: None

    def __contains__(self, name: object) -> bool:
        return name in self._relays

    def add(self, name: str, plugin: object) -> None:
        """Register a watcher. Raises pluggy's PluginValidationError on an unknown hook."""
        manager = relay()
        manager.register(plugin, name)
        manager.check_pending()
        self._relays[name] = manager

    def impls(self, hook: str) -> Iterator[Any]:
        if hook in OBSERVERS:
            for manager in self._relays.values():
                yield from getattr(manager.hook, hook).get_hookimpls()

    def monitor(self, before: Any, after: Any) -> None:
        """Call around every hook call, for tracing."""
        for manager in self._relays.values():
            manager.add_hookcall_monitoring(before, after)

    def call(self, hook: str, where: str, values: Mapping[str, Any]) -> None:
        """Call every watcher, the last one registered first."""
        for name, manager in reversed(self._relays.items()):
            caller = getattr(manager.hook, hook)
            if caller.get_hookimpls():
                self.forgiven(name, f"{hook} {where}", partial(caller, **values))

    def forgiven(self, name: str, where: str, call: Callable[[], Any]) -> Any:
        """Call and return the result; an exception is shown once, counted, and returns None."""
        try:
            return call()
        except Interrupted:
            raise
        except (Exception, SystemExit) as error:
            self._failed(name, where, error)
        return None

    def _failed(self, name: str, where: str, error: BaseException) -> None:
        if name in self.mistakes:
            self.mistakes[name].count += 1
            return
        reason = error.message if isinstance(error, BenchError) else f"{error}"
        line = source_line(error)
        first = f"{where}: {type(error).__name__}: {reason}" + (f" ({line})" if line else "")
        self.mistakes[name] = Mistakes(1, plain_text(first, LONGEST))
        self.tell(
            f"{self._label(name)} failed in {self.mistakes[name].first}; training goes on, and "
            "further failures are counted"
        )

    def state_dict(self) -> dict[str, list[Any]]:
        """Exception counts and first messages, for the checkpoint."""
        return {name: [mistakes.count, mistakes.first] for name, mistakes in self.mistakes.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore counts from a checkpoint. Raises ValueError if malformed."""
        mistakes = {}
        for name, (count, first) in state.items():
            if type(count) is not int or not 0 < count < 2**53 or not isinstance(first, str):
                raise ValueError(f"mistakes of {name!r}")
            mistakes[str(name)] = Mistakes(count, plain_text(first, LONGEST))
        self.mistakes = mistakes

    def merged(self, others: list[dict[str, list[Any]]]) -> tuple[str, ...]:
        """Notes for the record, one line per watcher, from the `state_dict` of all ranks."""
        counts: dict[str, int] = {}
        first: dict[str, str] = {}
        for mistakes in others:
            for name, (count, text) in mistakes.items():
                counts[name] = counts.get(name, 0) + count
                first.setdefault(name, text)
        return tuple(
            f"extra {plain_text(name)} failed {counts[name]} times, first in {first[name]}"
            for name in sorted(counts)
        )
