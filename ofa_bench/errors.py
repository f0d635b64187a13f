"""Every error a user or plugin author can meet, each with its exit code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BenchError(Exception):
    """A run or check failed; `hint` says how to fix it."""

    exit_code = 1
    on_all_ranks = False
    """Whether every rank of a run raises this one at the same point."""
    rank: int | None = None
    """The rank that reports it, where only one met it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        # Worker processes hand errors over by pickling; subclasses have other constructors.
        return (_unfilled, (type(self), self.message), vars(self))


def _unfilled(kind: type[BenchError], message: str) -> BenchError:
    return kind.__new__(kind, message)


class UsageError(BenchError):
    """The command, recipe, option, name or input file is wrong."""

    exit_code = 2


class UnknownName(UsageError):
    """An unknown name; the hint lists the known names, nearest first."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        ranked = sorted(
            known, key=lambda other: (-difflib.SequenceMatcher(None, name, other).ratio(), other)
        )
        choices = suggest(name, ranked) if ranked else f"there is no {kind} at all"
        super().__init__(f"unknown {kind} {name!r}", hint or choices)
        self.kind, self.name = kind, name


class RecipeError(UsageError):
    """A recipe or table file holds an invalid value."""

    def __init__(self, reason: str, *, file: str = "", key: str = "", hint: str = "") -> None:
        where = ": ".join(part for part in (file, key) if part)
        super().__init__(f"{where}: {reason}" if where else reason, hint)
        self.file, self.key, self.reason = file, key, reason


class DataError(UsageError):
    """A data set is absent, damaged, or in an unknown layout; the hint says which is wanted."""


class MisfitError(UsageError):
    """Two policies that do not go together."""


class PluginError(BenchError):
    """A plugin does not load, or breaks a rule of the hooks; the message names it and the hook."""


class PolicyError(PluginError):
    """A policy's answer is missing or illegal, at a step of a phase."""


class ResumeError(BenchError):
    """A checkpoint belongs to another run, with what differs, or cannot be read."""


class RankFailed(BenchError):
    """Another rank failed or is gone, so that this one cannot go on; the first to fail says why."""


class TrainingDiverged(BenchError):
    """The loss or the gradient stopped being finite: by which step, with which draws and rate."""

    on_all_ranks = True


class Interrupted(BenchError):
    """The run was stopped by a signal; its state is saved."""

    exit_code = 130


def suggest(name: str, known: Iterable[str], listing: str = "there are") -> str:
    """The hint for an unknown name: the nearest known one, if any is close, and all known names."""
    names = list(known)
    guess = nearest(name, names)
    return (f"did you mean {guess}? " if guess else "") + f"{listing}: {', '.join(names)}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest in spelling, or None if none is similar."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None
