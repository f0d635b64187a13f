"""Finalists of a search under a latency, measured whole before one of them is named."""

from __future__ import annotations

from collections.abc import Sequence

from ofa_bench.deploy.searching.request import SearchRequest
from ofa_bench.deploy.searching.scored_nets import ScoredNets
from ofa_bench.errors import UsageError
from ofa_bench.sanitize import plain_text
from ofa_bench.space import Subnet


def measured_again(
    asked: SearchRequest, scores: ScoredNets, nets: Sequence[Subnet]
) -> dict[Subnet, float]:
    """Milliseconds of whole subnets on the table's device; nothing where this is another machine.

    The table adds up blocks that were measured alone, and so may be off for a net as a whole.
    """
    table = asked.measured
    if table is None:
        return {}
    from ofa_bench.deploy.latency.devices import open_device
    from ofa_bench.deploy.latency.whole import measure_whole

    catalogue = asked.run.catalogue
    try:
        with open_device(table.device, table.threads, catalogue) as device:
            processor = plain_text(device.processor)
        if processor != table.machine.processor:
            raise UsageError(f"the table is of {table.machine.processor}, this is {processor}")
        scores.progress.note(f"measuring {len(nets)} finalists on {plain_text(table.device)}")
        timings = measure_whole(scores.network(), nets, table, catalogue=catalogue)
    except UsageError as error:
        scores.progress.note(f"finalists are not measured again: {error.message}")
        return {}
    return {net: timing.ms for net, timing in zip(nets, timings, strict=True)}
