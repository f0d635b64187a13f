"""Clauses, and the verdicts of a check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Verdict:
    """The result of one clause for one entry of a plugin; `ok` is None if it does not apply."""

    clause: str
    subject: str
    ok: bool | None
    expected: str
    observed: str = ""
    step: int | None = None
    where: str = ""
    see: str = ""

    def to_json(self) -> dict[str, Any]:
        """The fields; what was observed is under the key `found`, which scripts rely on."""
        fields = asdict(self)
        return {"found" if name == "observed" else name: fields[name] for name in fields}

    def __str__(self) -> str:
        if self.ok is not False:
            return f"{self.subject}: {self.clause}: {'ok' if self.ok else self.observed}"
        at = f" at step {self.step}" if self.step is not None else ""
        line = f" [{self.where}]" if self.where else ""
        see = f"; see {self.see}" if self.see else ""
        return (
            f"{self.subject}: {self.clause}{at}: {self.observed}{line}; want: {self.expected}{see}"
        )


@dataclass(frozen=True)
class ContractReport:
    """All verdicts on a plugin."""

    plugin: str
    origin: str
    verdicts: tuple[Verdict, ...]
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.broken

    @property
    def broken(self) -> tuple[Verdict, ...]:
        return tuple(verdict for verdict in self.verdicts if verdict.ok is False)

    def to_json(self) -> dict[str, Any]:
        return {
            "plugin": self.plugin,
            "origin": self.origin,
            "ok": self.ok,
            "seconds": round(self.seconds, 3),
            "verdicts": [verdict.to_json() for verdict in self.verdicts],
        }

    def __str__(self) -> str:
        return "\n".join(map(str, self.broken or self.verdicts))


class Breach(Exception):
    """A clause is broken: what was observed, with the step and the source line if known."""

    def __init__(self, observed: str, *, step: int | None = None, where: str = "") -> None:
        super().__init__(observed)
        self.observed, self.step, self.where = observed, step, where


class DoesNotApply(Exception):
    """A clause does not apply to this entry; the message says why."""


@dataclass(frozen=True)
class Clause:
    """A rule for plugins. `kinds`: the catalogue kinds that it applies to. `hook`: the hook that it
    checks. `page`: documentation, if neither the hook's section nor the guide."""

    name: str
    kinds: frozenset[str]
    expected: str
    check: Callable[[Any], None] = field(repr=False)
    hook: str = ""
    page: str = ""
    trains: bool = False


CLAUSES: list[Clause] = []
Decorator = Callable[[Callable[[Any], None]], Callable[[Any], None]]


def clause(
    name: str,
    *kinds: str,
    expected: str,
    hook: str = "",
    page: str = "",
    trains: bool = False,
) -> Decorator:
    """Add a function to the contract. It returns if the clause is kept, and raises Breach or
    DoesNotApply otherwise; `trains` marks clauses that train and take seconds."""

    def add(check: Callable[[Any], None]) -> Callable[[Any], None]:
        CLAUSES.append(Clause(name, frozenset(kinds), expected, check, hook, page, trains))
        return check

    return add


def clauses(*kinds: str, hook: str = "", page: str = "") -> Callable[..., Decorator]:
    """The decorator of several clauses on the same kinds, of which `clause` tells the rest: it
    takes a clause's name, what is expected, and whether it `trains`."""

    def named(name: str, expected: str, trains: bool = False) -> Decorator:
        return clause(name, *kinds, expected=expected, hook=hook, page=page, trains=trains)

    return named
