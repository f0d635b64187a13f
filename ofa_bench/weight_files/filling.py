"""Filling a network: every tensor is checked before the first parameter is touched."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from ofa_bench.errors import UsageError
from ofa_bench.weight_files.reading import HINT, some

FLOATING = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
MISFIT = "build the network on the space, and with the classes, that the checkpoint is for"
MISSHAPEN = "the space must be that of the weights; for other classes, --init-head fresh"


def check_kinds(state: Mapping[str, Tensor], source: str = "the checkpoint") -> None:
    """UsageError names the first tensor that can be no weight: values alone are not looked at."""
    for name, value in state.items():
        kind = _strange(value)
        if kind:
            raise UsageError(f"{name} in {source} is {kind}, not a tensor of weights", HINT)


def _strange(value: Any) -> str | None:
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    if value.is_nested:
        return "nested"
    if value.layout != torch.strided:
        return f"sparse ({str(value.layout).removeprefix('torch.')})"
    if value.is_quantized:
        return "quantized"
    if value.is_meta:
        return "without values (on the meta device)"
    if value.dtype not in FLOATING:
        return f"of {str(value.dtype).removeprefix('torch.')}"
    return None


def refuse_misfit(names: Collection[str], wanted: Collection[str]) -> None:
    """UsageError names what is missing and what is surplus."""
    misfits = {
        "missing": [name for name in wanted if name not in names],
        "surplus": [name for name in names if name not in wanted],
    }
    problems = [f"{kind} {some(misfit)}" for kind, misfit in misfits.items() if misfit]
    if problems:
        raise UsageError(f"the checkpoint does not fit: {'; '.join(problems)}", MISFIT)


def fill(net: Any, state: Mapping[str, Tensor], names: Mapping[str, str] | None = None) -> None:
    """Copy values into the parameters of these names; nothing is changed unless all of them fit.

    `names`: what the file calls them. Raises UsageError naming a misshapen tensor, or one that is
    no finite floating-point tensor in the parameter's precision.
    """
    called = names or {}
    parameters = {name: value for name, value in net.named_parameters() if name in state}
    check_kinds({called.get(name, name): value for name, value in state.items()})
    wrong = [
        f"{called.get(name, name)} is {tuple(state[name].shape)}, not {tuple(parameter.shape)}"
        for name, parameter in parameters.items()
        if state[name].shape != parameter.shape
    ]
    if wrong:
        raise UsageError(f"the checkpoint has other shapes: {some(wrong)}", MISSHAPEN)
    values = {
        name: state[name].detach().to(parameter.dtype) for name, parameter in parameters.items()
    }
    for name, value in values.items():
        if not bool(torch.isfinite(value).all()):
            raise UsageError(
                f"{called.get(name, name)} in the checkpoint holds values that are not finite",
                "take weights from before training diverged",
            )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(values[name])
    for index in range(len(net.blocks)):
        for norm in getattr(net, "norms", lambda _: {})(index).values():
            norm.statistics = None


def head_of(net: Any) -> list[str]:
    """The parameters of the layer that comes last, which has an entry for each class.

    UsageError where it has not.
    """
    parameters = dict(net.named_parameters())
    last = list(parameters)[-1].rpartition(".")[0]
    names = [name for name in parameters if name.rpartition(".")[0] == last]
    if not all(parameters[name].ndim and len(parameters[name]) == net.classes for name in names):
        raise UsageError(
            "the network's last parameters have no entry for each class, so it has no head",
            "leave --init-head fresh out",
        )
    return names
