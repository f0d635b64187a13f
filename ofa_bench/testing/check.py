"""The contract: every clause on every part of a plugin."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ofa_bench.errors import BenchError
from ofa_bench.hooks.tracebacks import source_line
from ofa_bench.testing.case import FAMILIES, Case
from ofa_bench.testing.clauses import distill as distilling
from ofa_bench.testing.clauses import end_to_end as training
from ofa_bench.testing.clauses import extra as adding
from ofa_bench.testing.clauses import lr as rating
from ofa_bench.testing.clauses import network as building
from ofa_bench.testing.clauses import registration as standing
from ofa_bench.testing.clauses import shrink as shrinking
from ofa_bench.testing.clauses import space as offering
from ofa_bench.testing.shared_trials import Crew
from ofa_bench.testing.source_lines import door_of, syntax_place
from ofa_bench.testing.target import Subject, find
from ofa_bench.testing.verdict import (
    CLAUSES,
    Breach,
    Clause,
    ContractReport,
    DoesNotApply,
    Verdict,
    clause,
)

PARTS = (standing, shrinking, rating, distilling, adding, offering, building, training)
LOADS = "it is registered"
WANTED = "register(catalogue) returns, and no name is another plugin's"
HOOKS_PAGE, GUIDE = "docs/hooks.md", "docs/writing-a-plugin.md"


@clause(
    "it fits a run",
    "shrink",
    "lr",
    "distill",
    "extra",
    "method",
    "supernet",
    expected="it can be assembled with some bundled partners on the toy space",
)
def it_fits_a_run(case: Case) -> None:
    """Phases, hooks and teachers pass what the engine asks before a run begins."""
    if case.unfit is not None:
        raise case.unfit


def check_plugin(target: Any, *, trains: bool = True) -> ContractReport:
    """Hold a plugin to the contract, in under a minute on two cores.

    `target` is an installed plugin's name, a file's path, a module, a policy class or instance.
    Without `trains` the clauses that train a network are left out. UnknownName if nothing is
    called so.
    """
    began = time.monotonic()
    subject = find(target)
    if subject.trouble:
        verdicts = [_unregistered(subject)]
    else:
        verdicts = [Verdict(LOADS, f"plugin {subject.name}", True, WANTED)]
        clauses = contract_of(subject, trains)
        if trains and clauses:
            clauses[0].case.crew.start()  # the other process works while this one asks
        verdicts += [held.verdict() for held in clauses]
    spent = time.monotonic() - began
    return ContractReport(subject.name, str(subject.origin), tuple(verdicts), spent)


def contract(target: Any, *, trains: bool = True) -> list[Held]:
    """The contract as things to call, for `pytest.mark.parametrize("held", contract("zigzag"),
    ids=str)`: each call is an AssertionError where its clause is broken."""
    subject = find(target)
    if subject.trouble:
        raise BenchError(subject.trouble, "mend the plugin's register")
    return contract_of(subject, trains)


def contract_of(subject: Subject, trains: bool) -> list[Held]:
    """Every clause that speaks of a kind of entry the plugin has; what is trained, once for all
    entries that one method holds together."""
    methods = [entry for entry in subject.entries if entry.kind == "method"]
    bundled = {(f, m.about[f]) for m in methods for f in FAMILIES}
    crew = Crew()
    held = []
    for entry in subject.entries:
        case = Case(subject, entry, crew)
        alone = (entry.kind, entry.name) not in bundled
        crew.join(case, trains and alone)
        for rule in sorted(
            CLAUSES, key=lambda rule: (rule.trains, rule.check is not it_fits_a_run)
        ):
            if entry.kind in rule.kinds and (not rule.trains or (trains and alone)):
                held.append(Held(rule, case))
    return held


@dataclass(frozen=True)
class Held:
    """One clause on one part of a plugin."""

    rule: Clause
    case: Case

    def __str__(self) -> str:
        return f"{self.case}: {self.rule.name}"

    def __call__(self) -> None:
        verdict = self.verdict()
        assert verdict.ok is not False, str(verdict)

    def verdict(self) -> Verdict:
        """Whether the clause is kept; no mistake of a plugin gets through as an exception."""
        try:
            self.rule.check(self.case)
        except Breach as breach:
            return self._broken(breach.found, breach, breach.step, breach.where)
        except DoesNotApply as reason:
            return self._said(None, f"does not apply: {reason}")
        except BenchError as error:
            told = ": ".join(part for part in (error.message, error.hint) if part)
            return self._broken(told, error)
        except (Exception, SystemExit) as error:
            return self._broken(f"{type(error).__name__}: {error}", error)
        return self._said(True)

    def _broken(
        self, found: str, error: BaseException, step: int | None = None, where: str = ""
    ) -> Verdict:
        where = where or source_line(error) or self._line()
        return self._said(False, found, step, where, self._page())

    def _line(self) -> str:
        try:
            return self.case.where(self.rule.hook)
        except BenchError:
            return ""

    def _page(self) -> str:
        if self.rule.hook:
            return f"{HOOKS_PAGE} ({self.rule.hook})"
        return self.rule.page or GUIDE

    def _said(
        self,
        ok: bool | None,
        found: str = "",
        step: int | None = None,
        where: str = "",
        see: str = "",
    ) -> Verdict:
        rule = self.rule
        return Verdict(rule.name, str(self.case), ok, rule.expected, found, step, where, see)


def _unregistered(subject: Subject) -> Verdict:
    where = source_line(subject.error) if subject.error is not None else ""
    where = where or syntax_place(subject.error) or door_of(subject.code, subject.file)
    name = f"plugin {subject.name}"
    return Verdict(LOADS, name, False, WANTED, subject.trouble, where=where, see=GUIDE)
