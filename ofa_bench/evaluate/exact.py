"""Evaluating without a trace: the same bits whatever the process had switched on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ofa_bench.nets.protocol import Supernet


@contextmanager
def undisturbed(net: Supernet) -> Iterator[None]:
    """Plain fp32, modules in evaluation mode; the net's mode and torch's switches come back.

    Whatever trained: no autocast, no TensorFloat-32, no kernel chosen by a stopwatch.
    """
    modes = [(module, module.training) for module in net.blocks.modules()]
    kinds = {parameter.device.type for parameter in net.blocks.parameters()}
    switches = _switches()
    before = [getattr(place, name) for place, name, _ in switches]
    try:
        net.blocks.eval()
        for place, name, value in switches:
            setattr(place, name, value)
        with torch.autocast(kinds.pop() if kinds else "cpu", enabled=False):
            yield
    finally:
        for (place, name, _), value in zip(switches, before, strict=True):
            setattr(place, name, value)
        for module, training in modes:
            module.training = training


def _switches() -> list[tuple[Any, str, object]]:
    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul
    exact: list[tuple[Any, str, object]] = [
        (cudnn, "benchmark", False),
        (cudnn, "deterministic", True),
    ]
    if hasattr(matmul, "fp32_precision"):  # since 2.9; mixing it with the older names is an error
        return [*exact, (cudnn.conv, "fp32_precision", "ieee"), (matmul, "fp32_precision", "ieee")]
    return [*exact, (cudnn, "allow_tf32", False), (matmul, "allow_tf32", False)]
