"""Check a plugin against the contract: run every clause that applies to each of its entries."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ofa_bench.errors import BenchError
from ofa_bench.hooks.tracebacks import source_line
from ofa_bench.testing.case import FAMILIES, Case
from ofa_bench.testing.clauses import (
    device,
    distill,
    end_to_end,
    exporter,
    extra,
    launcher,
    lr,
    network,
    proxy,
    purity,
    registration,
    searcher,
    shrink,
    space,
)
from ofa_bench.testing.shared_trials import Crew
from ofa_bench.testing.source_lines import register_line, syntax_error_line
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

# Importing a module adds its clauses to CLAUSES, in this order.
CLAUSE_MODULES = (
    *(registration, shrink, lr, purity, distill, extra, space, network, searcher, device),
    *(exporter, launcher, proxy, end_to_end),
)
LOADS = "register succeeds"
WANTED = "register(catalogue) returns, and adds no name that another plugin has"
HOOKS_PAGE, GUIDE = "docs/hooks.md", "docs/writing-a-plugin.md"


@clause(
    "assembles into a run",
    "shrink",
    "lr",
    "distill",
    "extra",
    "method",
    "supernet",
    expected="a run with it and some bundled partners assembles on the toy space",
)
def assembles(case: Case) -> None:
    """Phases, hooks and teachers pass the checks that precede a run."""
    if case.unfit is not None:
        raise case.unfit


def check_plugin(target: Any, *, trains: bool = True) -> ContractReport:
    """Check a plugin against the contract, in under a minute on two cores.

    `target`: an installed plugin's name, a file's path, a module, a policy class or instance.
    `trains=False` leaves out the clauses that train a network. Raises UnknownName if no plugin
    or entry has that name, UsageError if a class is neither a policy nor an extra.
    """
    began = time.monotonic()
    subject = find(target)
    if subject.trouble:
        verdicts = [_unregistered(subject)]
    else:
        verdicts = [Verdict(LOADS, f"plugin {subject.name}", True, WANTED)]
        clauses = contract_of(subject, trains)
        if trains and clauses:
            clauses[0].case.crew.start()  # the second process works while this one checks
        verdicts += [held.verdict() for held in clauses]
    spent = time.monotonic() - began
    return ContractReport(subject.name, str(subject.origin), tuple(verdicts), spent)


def contract(target: Any, *, trains: bool = True) -> list[Held]:
    """The contract as callables, for `pytest.mark.parametrize("held", contract("zigzag"),
    ids=str)`: a call raises AssertionError if its clause is broken. Raises BenchError if the
    plugin cannot be registered."""
    subject = find(target)
    if subject.trouble:
        raise BenchError(subject.trouble, "correct the plugin's `register`")
    return contract_of(subject, trains)


def contract_of(subject: Subject, trains: bool) -> list[Held]:
    """Every clause for every entry of its kinds. Clauses that train are run once per method, not
    again for the policies that the method consists of."""
    methods = [entry for entry in subject.entries if entry.kind == "method"]
    bundled = {(f, m.about[f]) for m in methods for f in FAMILIES}
    crew = Crew()
    held = []
    for entry in subject.entries:
        case = Case(subject, entry, crew)
        alone = (entry.kind, entry.name) not in bundled
        crew.join(case, trains and alone)
        for rule in sorted(CLAUSES, key=lambda rule: (rule.trains, rule.check is not assembles)):
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
        """Check the clause; any exception of the plugin becomes a verdict."""
        rule, case = self.rule, self.case

        def verdict(ok: bool | None, *details: Any) -> Verdict:
            return Verdict(rule.name, str(case), ok, rule.expected, *details)

        case.at = None
        try:
            rule.check(case)
        except DoesNotApply as reason:
            return verdict(None, f"does not apply: {reason}")
        except (Exception, SystemExit) as error:
            breach = error if isinstance(error, Breach) else Breach(_described(error))
            step = case.at if breach.step is None else breach.step
            where = breach.where or source_line(error) or self._line()
            page = f"{HOOKS_PAGE} ({rule.hook})" if rule.hook else rule.page or GUIDE
            return verdict(False, breach.observed, step, where, page)
        return verdict(True)

    def _line(self) -> str:
        try:
            return self.case.where(self.rule.hook)
        except BenchError:
            return ""


def _described(error: BaseException) -> str:
    if isinstance(error, BenchError):
        return ": ".join(filter(None, (error.message, error.hint)))
    return f"{type(error).__name__}: {error}"


def _unregistered(subject: Subject) -> Verdict:
    where = source_line(subject.error) if subject.error is not None else ""
    where = where or syntax_error_line(subject.error) or register_line(subject.code, subject.file)
    name = f"plugin {subject.name}"
    return Verdict(LOADS, name, False, WANTED, subject.trouble, where=where, see=GUIDE)
