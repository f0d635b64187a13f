"""Save, load and hash the weights of a network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import nn

from ofa_bench.atomic_io import sha256_file, write_whole
from ofa_bench.errors import UsageError
from ofa_bench.nets.mbconv import MBConvNet
from ofa_bench.recipe.initial_weights import split_set
from ofa_bench.weight_files import official
from ofa_bench.weight_files.filling import check_kinds, fill, head_of, refuse_misfit
from ofa_bench.weight_files.reading import State, check_size, read_weights, stripped
from ofa_bench.weight_files.zoo import known_checkpoint


def save_weights(net: Any, path: Path, classes: Sequence[str]) -> None:
    """Write a network's parameters to a safetensors file; the class names are in its header, as the
    JSON list `classes`."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in net.named_parameters()}
    write_whole(path, save(tensors, {"classes": json.dumps(list(classes))}))


def start_from(path: str | Path, head: str = "file") -> str:
    """The hash of a run's initial weights: that of the file, with the selected part if it is not
    all. Raises UsageError if there are no weights."""
    file, key = weights_file(path)
    digest = sha256_file(file)
    if key or head != "file":
        digest = hashlib.sha256(f"{digest} {key!r} {head}".encode()).hexdigest()
    return digest


def weights_file(path: str | Path) -> tuple[Path, str]:
    """The path of a weights file or of a finished run's weights, and the SET of `FILE::SET`. Raises
    UsageError if it does not exist or exceeds the size limit."""
    where, key = split_set(path)
    file = where / "weights.safetensors" if where.is_dir() else where
    if not file.is_file():
        raise UsageError(
            f"there are no weights at {where}",
            "give a weights file, or the folder of a finished run",
        )
    check_size(file)
    return file, key


def load_weights(net: Any, path: str | Path, head: str = "file") -> str | None:
    """Fill a network from a file: this project's, or a once-for-all checkpoint in either layout.

    With `head` "fresh" the classifier keeps its initial values. Returns a note on a choice, if any.
    Raises UsageError, before the network is changed, on wrong shapes, missing keys, values that are
    not finite, pickled code, or truncated files.
    """
    file, key = weights_file(path)
    parameters = dict(net.named_parameters())
    weights = read_weights(file, key, sum(value.numel() for value in parameters.values()))
    buffers = {name for name, _ in net.named_buffers()}
    state = {n: v for n, v in stripped(weights.state, parameters).items() if n not in buffers}
    fresh = head_of(net) if head == "fresh" else []
    if once_for_all_layout(net, state):
        official.load_state_dict(net, state, fresh)
    else:
        check_kinds(state)
        values = {name: value for name, value in state.items() if name not in fresh}
        refuse_misfit(values, {name for name in parameters if name not in fresh})
        fill(net, values)
    return weights.note(file)


def epsilon_note(net: Any, path: str | Path) -> str | None:
    """A note where a checkpoint that is known by its name was trained with another batch-norm
    epsilon than the network has; None otherwise."""
    file, _ = weights_file(path)
    known = known_checkpoint(file)
    eps = next((part.eps for part in net.modules() if isinstance(part, nn.BatchNorm2d)), None)
    if known is None or eps is None or eps == known.norm_eps:
        return None
    return (
        f"{file} was trained with batch-norm epsilon {known.norm_eps:g}, and this network has "
        f"{eps:g}: --set net.norm_eps={known.norm_eps!r} gives it the same"
    )


def once_for_all_layout(net: Any, state: State) -> bool:
    """Whether tensors are named as the once-for-all package names them, for a net of that kind."""
    names = [name for name, _ in net.named_parameters()]
    return isinstance(net, MBConvNet) and sum(name in state for name in names) * 2 < len(names)


def weights_hash(net: Any) -> str:
    """Hex SHA-256 over the parameters' names, shapes, types and bytes."""
    digest = hashlib.sha256()
    for name, parameter in sorted(net.named_parameters()):
        values = parameter.detach().cpu().contiguous()
        digest.update(f"{name}{tuple(values.shape)}{values.dtype}".encode())
        digest.update(values.numpy().tobytes())
    return digest.hexdigest()
