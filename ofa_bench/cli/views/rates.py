"""Recompute a recorded run's learning rate and ε with the code that `plan` uses."""

from __future__ import annotations

from collections.abc import Iterator

from ofa_bench.draws import Role
from ofa_bench.errors import BenchError
from ofa_bench.planning.assemble import Assembly
from ofa_bench.planning.forecast import Outlook
from ofa_bench.records.schema import Record
from ofa_bench.report.training import POINTS, Rates
from ofa_bench.runs.recorded_plan import reassembled


def rates_of(record: Record) -> Rates | str:
    """The rates of a run, or why they cannot be computed.

    Only with policies that come with ofa-bench, unchanged: see `reassembled`.
    """
    assembly = reassembled(record)
    if isinstance(assembly, str):
        return assembly
    if not _same_phases(assembly, record):
        return "its phases are not those that this version would run"
    try:
        return _rates(Outlook(assembly))
    except BenchError as error:
        return error.message
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        return f"its recipe makes no sense: {error}"


def _same_phases(assembly: Assembly, record: Record) -> bool:
    """Whether the schedule is the one in the ledger, as far as the run got."""
    planned = [(cost.name, cost.steps) for cost in assembly.cost]
    ran = [(phase.name, phase.steps) for phase in record.cost.phases]
    if record.good or not ran:
        return ran in ([], planned)
    name, steps = ran[-1]
    last = planned[len(ran) - 1] if len(ran) <= len(planned) else ("", 0)
    return ran[:-1] == planned[: len(ran) - 1] and name == last[0] and steps <= last[1]


def _rates(outlook: Outlook) -> Rates:
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
