"""Weights of the official once-for-all package: its checkpoints read, checked and loaded."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ofa_bench.errors import UsageError
from ofa_bench.nets.mbconv import MBConvNet

State = Mapping[str, Tensor]

_IGNORED = ("running_mean", "running_var", "num_batches_tracked")
_WRAPPERS = ("state_dict", "state_dict_ema", "model")
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


def read(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint file by name, on the CPU; nothing in the file is executed.

    Raises UsageError, with the reason, for a file that is absent, truncated, foreign, or holds
    anything but tensors.
    """
    file = Path(path)
    if not file.is_file():
        raise UsageError(f"{file}: no such file", "give the path of a .pth or .safetensors file")
    try:
        content = _safetensors(file) if file.suffix == ".safetensors" else _pickled(file)
    except Exception as error:  # what foreign bytes raise has no bound
        raise UsageError(f"{file}: {_reason(file, error)}", _HINT) from error
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping) or not content:
        raise UsageError(f"{file}: holds no weights by name", _HINT)
    strays = [str(name) for name, value in content.items() if not _is_weight(name, value)]
    if strays:
        raise UsageError(f"{file}: {_some(strays)} not a tensor", _HINT)
    return dict(content)


def load_state_dict(net: MBConvNet, state: State) -> None:
    """Load the weights of a once-for-all network, elastic or static, into a supernet.

    Either key layout will do. Kernel matrices that the state lacks altogether become the
    identity; those of a net that has a single kernel size are never used and left out. Nothing is
    changed unless everything fits. Raises UsageError naming the missing, surplus or misshapen keys.
    """
    given = _plain(state)
    wanted = {official_name(net, name): name for name, _ in net.named_parameters()}
    matrices = {name for name in wanted if _is_matrix(name)}
    if not any(map(_is_matrix, given)):
        wanted = {name: ours for name, ours in wanted.items() if name not in matrices}
    elif not matrices and all(len(row.kernel) == 1 for row in net.space.table.rows):
        given = {name: value for name, value in given.items() if not _is_matrix(name)}
    _refuse_misfit(given, wanted)
    own = dict(net.named_parameters())
    _refuse_misshapen(given, {name: own[ours] for name, ours in wanted.items()})
    with torch.no_grad():
        for name, parameter in own.items():
            if "matrix_" in name:
                parameter.copy_(torch.eye(len(parameter)))
        for name, ours in wanted.items():
            own[ours].copy_(given[name])
    for index in range(len(net.blocks)):
        for norm in net.norms(index).values():
            norm.statistics = None


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


_HINT = "a checkpoint is a file of named tensors, as torch.save(net.state_dict(), path) writes it"


def _safetensors(file: Path) -> Any:
    from safetensors.torch import load_file

    return load_file(file, device="cpu")


def _pickled(file: Path) -> Any:
    with warnings.catch_warnings():
        # torch warns of pickle protocols it then refuses; the refusal is enough.
        warnings.simplefilter("ignore")
        return torch.load(file, map_location="cpu", weights_only=True)


def _reason(file: Path, error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or "cannot be read"
    if file.stat().st_size == 0:
        return "is empty"
    if isinstance(error, pickle.UnpicklingError):
        if found := re.search(r"GLOBAL (\S+)", str(error)):
            return f"holds pickled code ({found[1]}), which is not executed"
        content = file.read_bytes()
        if content[:1] == pickle.PROTO and content[-1:] == pickle.STOP:
            return "is a pickle of more than tensors, which is not executed"
    return "is truncated, damaged, or not a checkpoint at all"


def _is_weight(name: object, value: object) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor)


def _is_matrix(name: str) -> bool:
    return name.endswith("_matrix")


def _plain(state: State) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        if str(key).endswith(_IGNORED):
            continue
        if not _is_weight(key, value) or not value.is_floating_point():
            raise UsageError(f"{key} in the checkpoint is not a tensor of weights", _HINT)
        name = plain_name(key)
        if name in found:
            raise UsageError(f"the checkpoint says {name} twice", "it mixes two key layouts")
        found[name] = value
    return found


def _refuse_misfit(given: Collection[str], wanted: Collection[str]) -> None:
    problems = list(_misfits(given, wanted))
    if problems:
        hint = "build the network on the space, and with the classes, that the checkpoint is for"
        raise UsageError(f"the checkpoint does not fit: {'; '.join(problems)}", hint)


def _misfits(given: Collection[str], wanted: Collection[str]) -> Iterator[str]:
    if missing := [name for name in wanted if name not in given]:
        yield f"missing {_some(missing)}"
    if surplus := [name for name in given if name not in wanted]:
        yield f"surplus {_some(surplus)}"


def _refuse_misshapen(given: State, wanted: State) -> None:
    wrong = [
        f"{name} is {tuple(given[name].shape)}, not {tuple(parameter.shape)}"
        for name, parameter in wanted.items()
        if given[name].shape != parameter.shape
    ]
    if wrong:
        hint = "another width, kernel or number of classes; the space's table must be its own"
        raise UsageError(f"the checkpoint has other shapes: {_some(wrong)}", hint)


def _some(items: list[str], shown: int = 4) -> str:
    rest = len(items) - shown
    return ", ".join(items[:shown]) + (f" and {rest} more" if rest > 0 else "")
