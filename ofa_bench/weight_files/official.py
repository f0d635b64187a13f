"""Weights of the official once-for-all package: its checkpoints read, checked and loaded."""

from __future__ import annotations

import re
from collections.abc import Collection

import torch
from torch import Tensor

from ofa_bench.errors import UsageError
from ofa_bench.nets.mbconv import MBConvNet
from ofa_bench.weight_files.filling import check_kinds, fill, refuse_misfit
from ofa_bench.weight_files.reading import State

_IGNORED = ("running_mean", "running_var", "num_batches_tracked")
_LAYERS = {
    "expand": "inverted_bottleneck.conv",
    "expand_norm": "inverted_bottleneck.bn",
    "depthwise": "depth_conv.conv",
    "depthwise_norm": "depth_conv.bn",
    "se.reduce": "depth_conv.se.fc.reduce",
    "se.expand": "depth_conv.se.fc.expand",
    "project": "point_linear.conv",
    "project_norm": "point_linear.bn",
}
_STEM = {"stem": "first_conv.conv", "stem_norm": "first_conv.bn"}
_HEAD = {
    "final": "final_expand_layer.conv",
    "final_norm": "final_expand_layer.bn",
    "mix": "feature_mix_layer.conv",
    "classifier": "classifier.linear",
}
_HEAD_WITHOUT_MIX = {
    "final": "feature_mix_layer.conv",
    "final_norm": "feature_mix_layer.bn",
    "classifier": "classifier.linear",
}


def load_state_dict(net: MBConvNet, state: State, without: Collection[str] = ()) -> None:
    """Load the weights of a once-for-all network, elastic or static, into a supernet.

    Either key layout will do. Kernel matrices that the state lacks altogether become the
    identity; those of a net that has a single kernel size are never used and left out. `without`:
    parameters that keep their values, in the state or not. Nothing is changed unless everything
    fits. Raises UsageError naming the missing, surplus or misshapen keys.
    """
    state = _plain(state)
    wanted = {official_name(net, name): name for name, _ in net.named_parameters()}
    matrices = {name for name in wanted if _is_matrix(name)}
    if not any(map(_is_matrix, state)):
        wanted = {name: ours for name, ours in wanted.items() if name not in matrices}
    elif not matrices and all(len(row.kernel) == 1 for row in net.space.table.rows):
        state = {name: value for name, value in state.items() if not _is_matrix(name)}
    kept = {name for name, ours in wanted.items() if ours in without}
    state = {name: value for name, value in state.items() if name not in kept}
    refuse_misfit(state, wanted.keys() - kept)
    values = {wanted[name]: value for name, value in state.items()}
    for name, parameter in net.named_parameters():
        if "matrix_" in name and name not in values:
            values[name] = torch.eye(len(parameter))
    fill(net, values, {ours: name for name, ours in wanted.items()})


def official_name(net: MBConvNet, name: str) -> str:
    """What the official static layout calls a parameter of a supernet."""
    _, number, rest = name.split(".", 2)
    layer, leaf = rest.rsplit(".", 1)
    if layer in _STEM:
        return f"{_STEM[layer]}.{leaf}"
    if int(number) == len(net.blocks) - 1:
        names = _HEAD if net.space.table.head.mix else _HEAD_WITHOUT_MIX
        return f"{names[layer]}.{leaf}"
    leaf = re.sub(r"matrix_(\d+to\d+)", r"\1_matrix", leaf)
    return f"blocks.{number}.conv.{_LAYERS[layer]}.{leaf}"


def plain_name(name: str) -> str:
    """A key of either official layout in the static, newer one.

    The elastic layers wrap what they slice (`conv.conv.weight`, `bn.bn.bias`,
    `linear.linear.weight`); older releases call a block's body `mobile_inverted_conv`.
    """
    name = name.removeprefix("module.").replace(".mobile_inverted_conv.", ".conv.")
    name = re.sub(r"\b(bn|linear)\.\1\.", r"\1.", name)
    return re.sub(r"\bconv\.conv\.(weight|bias)$", r"conv.\1", name)


def _is_matrix(name: str) -> bool:
    return name.endswith("_matrix")


def _plain(state: State) -> dict[str, Tensor]:
    weights = {str(name): value for name, value in state.items()}
    weights = {n: value for n, value in weights.items() if not n.endswith(_IGNORED)}
    check_kinds(weights)
    renamed: dict[str, Tensor] = {}
    for key, value in weights.items():
        name = plain_name(key)
        if name in renamed:
            raise UsageError(f"the checkpoint says {name} twice", "it mixes two key layouts")
        renamed[name] = value
    return renamed
