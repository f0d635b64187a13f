"""Clauses on devices: the times that they measure, and what they leave of the process."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ofa_bench.errors import UsageError
from ofa_bench.testing.case import Case
from ofa_bench.testing.source_lines import line_of
from ofa_bench.testing.verdict import Breach, DoesNotApply, clauses

if TYPE_CHECKING:
    from ofa_bench.deploy.latency.devices import Call, LatencyDevice

PAGE = "docs/deploy.md"
SHAPE, CALLS = (2, 3, 8, 8), 4
on_devices = clauses("device", page=PAGE)


@contextmanager
def _opened(case: Case) -> Iterator[LatencyDevice]:
    from ofa_bench.deploy.latency.devices import open_device

    try:
        with open_device(case.entry.name, 1, case.catalogue) as device:
            yield device
    except UsageError as error:
        raise DoesNotApply(f"it is not there: {error.message}") from error


def _prepared(device: LatencyDevice) -> Call:
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
    return device.prepare(layers.eval(), SHAPE)


@on_devices(
    "times are positive and finite",
    "each call of what prepare(module, shape) returns gives milliseconds as a float",
)
def times_are_positive(case: Case) -> None:
    with _opened(case) as device:
        call = _prepared(device)
        for _ in range(CALLS):
            time = call()
            if not isinstance(time, float) or not math.isfinite(time) or time <= 0:
                raise Breach(f"a call gave {time!r}", where=line_of(case.cls, "prepare"))


@on_devices(
    "processor and versions are told",
    "`processor` is a text, versions() a mapping of texts: both stand in every table",
)
def processor_is_told(case: Case) -> None:
    """Without them nobody knows what a time is of."""
    with _opened(case) as device:
        if not isinstance(device.processor, str) or not device.processor:
            raise Breach(f"processor is {device.processor!r}")
        for name, text in dict(device.versions()).items():
            if not isinstance(name, str) or not isinstance(text, str):
                raise Breach(f"versions() has {name!r}: {text!r}")


@on_devices(
    "close() undoes settings of the process",
    "torch has its threads and its random state as before the device",
)
def close_undoes(case: Case) -> None:
    """A search measures its finalists between two evaluations."""
    import torch

    before = torch.get_num_threads(), torch.get_rng_state()
    with _opened(case) as device:
        _prepared(device)()
    if torch.get_num_threads() != before[0]:
        raise Breach(f"torch has {torch.get_num_threads()} threads, not {before[0]}")
    if not torch.equal(torch.get_rng_state(), before[1]):
        raise Breach("torch's random state is another")
