"""Weights in and out: safetensors, or pickles opened for tensors only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save

from ofa_bench.errors import UsageError
from ofa_bench.files import sha256_file, write_whole


def save_weights(net: Any, path: Path, classes: Sequence[str]) -> None:
    """A network's parameters as one whole safetensors file; the names of its outputs, in order,
    stand in the header as a JSON list, `classes`."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in net.named_parameters()}
    write_whole(path, save(tensors, {"classes": json.dumps(list(classes))}))


def start_from(path: Path) -> str:
    """The hash of a weights file, or of a finished run's; UsageError if there is none."""
    return sha256_file(weights_file(path))


def weights_file(path: Path) -> Path:
    """A weights file, or the one in a finished run's folder."""
    file = path / "weights.safetensors" if path.is_dir() else path
    if not file.is_file():
        raise UsageError(
            f"there are no weights at {path}",
            "give a weights file, or the folder of a finished run",
        )
    return file


def load_weights(net: Any, path: Path) -> None:
    """Fill a network from a file: this project's, or a once-for-all checkpoint in either layout.

    Raises UsageError on wrong shapes, missing keys, pickled code or truncated bytes.
    """
    file = weights_file(path)
    if file.suffix == ".safetensors":
        try:
            state = load_file(str(file))
        except Exception as error:  # safetensors raises its own, unexported kinds
            raise UsageError(
                f"{file} cannot be read as safetensors: {error}", "the file is damaged or foreign"
            ) from error
        if set(state) == {name for name, _ in net.named_parameters()}:
            _fill(net, state, file)
            return
    from ofa_bench.deploy import official

    official.load_state_dict(net, official.read(file))


def _fill(net: Any, state: dict[str, Any], file: Path) -> None:
    for name, parameter in net.named_parameters():
        if state[name].shape != parameter.shape:
            raise UsageError(
                f"{file}: {name} has shape {tuple(state[name].shape)}, the network's is "
                f"{tuple(parameter.shape)}",
                "the weights are of another space or number of classes",
            )
    for name, parameter in net.named_parameters():
        parameter.data.copy_(state[name])


def weights_hash(net: Any) -> str:
    """Hex SHA-256 over the final parameters' names, shapes and bytes."""
    digest = hashlib.sha256()
    for name, parameter in sorted(net.named_parameters()):
        values = parameter.detach().cpu().contiguous()
        digest.update(f"{name}{tuple(values.shape)}{values.dtype}".encode())
        digest.update(values.numpy().tobytes())
    return digest.hexdigest()
