"""The latency of whole nets, as that of a search's finalists is measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ofa_bench import seeding
from ofa_bench.deploy.latency.devices import open_device
from ofa_bench.deploy.latency.measure import Subjects
from ofa_bench.deploy.latency.parts import whole
from ofa_bench.deploy.latency.rounds import sampled
from ofa_bench.deploy.latency.target import ROUNDS, Watch
from ofa_bench.hooks.catalogue import Catalogue
from ofa_bench.search.latency_table import LatencyTable, Timing
from ofa_bench.space import Subnet


def measure_whole(
    net: Any,
    subnets: Sequence[Subnet],
    table: LatencyTable,
    *,
    rounds: int = ROUNDS,
    catalogue: Catalogue | None = None,
    watch: Watch | None = None,
) -> list[Timing]:
    """The times of whole subnets of a supernet, in their order, measured together: on the table's
    device, with its batch and threads.

    `net` stays as it is: each subnet is taken out with copies of its weights. Raises UsageError if
    this machine lacks the device, or the subnets cannot be taken out.
    """
    with open_device(table.device, table.threads, catalogue) as device:
        subjects = Subjects(device, watch)
        keys = [subjects.add(whole(net, subnet, table.batch)) for subnet in subnets]
        samples = sampled(subjects.calls, rounds, seeding.rng("latency whole"), watch)
        return [samples[key].timing for key in keys]
