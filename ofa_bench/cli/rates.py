"""A recorded run's learning rate and ε, told again by the code that `plan` uses."""

from __future__ import annotations

from collections.abc import Iterator

from ofa_bench.catalogue import OURS, Catalogue, trusted
from ofa_bench.cli.outlook import Outlook
from ofa_bench.draws import Role
from ofa_bench.engine.assemble import Assembly, assemble
from ofa_bench.engine.recorded import request_for
from ofa_bench.errors import BenchError
from ofa_bench.recipe.fingerprint import source_of
from ofa_bench.records.schema import Policy, Record
from ofa_bench.report.training import POINTS, Rates


def rates_of(record: Record) -> Rates | str:
    """The rates of a run, or why they cannot be told.

    Only with policies that come with ofa-bench and whose code is still what the record holds, which
    is asked after the owner: what a record names is not imported for being named.
    """
    catalogue = trusted()
    strange = _strange(record, catalogue)
    if strange is not None:
        return strange
    weights = [name for name in ("init", "teacher") if record.execution.get(name)]
    splits = record.task.splits
    sizes = {name: getattr(splits, name).count for name in ("train", "select", "test")}
    try:
        request = request_for(record, catalogue, **dict.fromkeys(weights, "as recorded"))
        assembly = assemble(request, catalogue, (record.task.classes, sizes))
        if not _same_phases(assembly, record):
            return "its phases are not those that this version would run"
        return _told(Outlook(assembly))
    except BenchError as error:
        return error.message
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        return f"its recipe makes no sense: {error}"


def _strange(record: Record, catalogue: Catalogue) -> str | None:
    """Why a record's parts may not be imported; None where all of them are ours, unchanged."""
    science, method = record.science, record.method
    if str(science.get("space")) not in catalogue.names("space"):
        return "its space is not installed here"
    told = [science.get(f) for f in ("shrink", "lr", "distill")]
    names = [each.get("name") if isinstance(each, dict) else None for each in told]
    parts = [("shrink", method.shrink), ("lr", method.lr), ("distill", method.distill)]
    extras = [extra.name for extra in method.extras]
    if [policy.name for _, policy in parts] != names or list(science.get("extras", [])) != extras:
        return "its science and its method name different policies"
    for kind, policy in [*parts, *(("extra", extra) for extra in method.extras)]:
        if not _ours(kind, policy, catalogue):
            return f"its {kind} policy {policy.name} is not the one that comes with this version"
    return None


def _ours(kind: str, policy: Policy, catalogue: Catalogue) -> bool:
    if policy.distribution != OURS or policy.name not in catalogue.names(kind):
        return False
    entry = catalogue.get(kind, policy.name)
    if entry.origin.distribution != OURS:
        return False
    found = source_of(entry.load())
    return found.hash == policy.source.hash or found.text == policy.source.text


def _same_phases(assembly: Assembly, record: Record) -> bool:
    """Whether the schedule is the one in the ledger, as far as the run got."""
    planned = [(cost.name, cost.steps) for cost in assembly.cost]
    ran = [(phase.name, phase.steps) for phase in record.cost.phases]
    if record.good or not ran:
        return ran in ([], planned)
    name, steps = ran[-1]
    last = planned[len(ran) - 1] if len(ran) <= len(planned) else ("", 0)
    return ran[:-1] == planned[: len(ran) - 1] and name == last[0] and steps <= last[1]


def _told(outlook: Outlook) -> Rates:
    edges = [outlook.edge("", index) for index in _steps(outlook)]
    beside = [
        [share for role, share in edge["shares"].items() if role != Role.LARGEST] for edge in edges
    ]
    return Rates(
        tuple(edge["epoch"] for edge in edges),
        tuple(edge["lr"] for edge in edges),
        tuple(min(shares, default=None) for shares in beside),
    )


def _steps(outlook: Outlook) -> Iterator[int]:
    """Steps spread evenly, and those at which something turns."""
    count = outlook.schedule.steps
    stride = max(1, count // POINTS)
    yield from sorted({*range(0, count, stride), *(index for _, index in outlook.turns())})
