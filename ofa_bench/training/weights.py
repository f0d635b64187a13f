"""Weights in and out of a network: what is saved, what a run starts from, and its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save

from ofa_bench.atomic_io import sha256_file, write_whole
from ofa_bench.deploy import official
from ofa_bench.deploy.filling import check_kinds, fill, head_of, refuse_misfit
from ofa_bench.deploy.reading import read_weights, stripped
from ofa_bench.errors import UsageError
from ofa_bench.limits import advice, limit
from ofa_bench.nets.mbconv import MBConvNet
from ofa_bench.recipe.starts import split_set


def save_weights(net: Any, path: Path, classes: Sequence[str]) -> None:
    """A network's parameters as one whole safetensors file; the names of its outputs, in order,
    stand in the header as a JSON list, `classes`."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in net.named_parameters()}
    write_whole(path, save(tensors, {"classes": json.dumps(list(classes))}))


def start_from(path: str | Path, head: str = "file") -> str:
    """The hash of what a run starts from: the file's, and which part of it is taken where that is
    not simply all. UsageError if there are no weights."""
    file, key = weights_file(path)
    digest = sha256_file(file)
    if key or head != "file":
        digest = hashlib.sha256(f"{digest} {key!r} {head}".encode()).hexdigest()
    return digest


def weights_file(path: str | Path) -> tuple[Path, str]:
    """A weights file, or the one in a finished run's folder; and the set of weights in it that
    `FILE::SET` names. UsageError if it is not there, or larger than any weights."""
    where, key = split_set(path)
    file = where / "weights.safetensors" if where.is_dir() else where
    if not file.is_file():
        raise UsageError(
            f"there are no weights at {where}",
            "give a weights file, or the folder of a finished run",
        )
    size = file.stat().st_size
    if size > limit("weights-bytes"):
        raise UsageError(f"{file}: {size:,} bytes of weights", advice("weights-bytes", size))
    return file, key


def load_weights(net: Any, path: str | Path, head: str = "file") -> str | None:
    """Fill a network from a file: this project's, or a once-for-all checkpoint in either layout.

    With `head` "fresh" the classifier keeps its first values. Returns what to tell of a choice that
    was made, if any. Raises UsageError, before the network is touched, on wrong shapes, missing
    keys, tensors that are no finite numbers, pickled code, or truncated bytes.
    """
    file, key = weights_file(path)
    own = dict(net.named_parameters())
    found = read_weights(file, key, sum(value.numel() for value in own.values()))
    buffers = {name for name, _ in net.named_buffers()}
    state = {n: v for n, v in stripped(found.state, own).items() if n not in buffers}
    fresh = head_of(net) if head == "fresh" else []
    wanted = {name for name in own if name not in fresh}
    if isinstance(net, MBConvNet) and sum(name in state for name in wanted) * 2 < len(wanted):
        values, names = official.translated(net, state, fresh)
    else:
        check_kinds(state)
        values, names = {name: v for name, v in state.items() if name not in fresh}, {}
        refuse_misfit(values, wanted)
    fill(net, values, names)
    return found.note(file)


def weights_hash(net: Any) -> str:
    """Hex SHA-256 over the final parameters' names, shapes and bytes."""
    digest = hashlib.sha256()
    for name, parameter in sorted(net.named_parameters()):
        values = parameter.detach().cpu().contiguous()
        digest.update(f"{name}{tuple(values.shape)}{values.dtype}".encode())
        digest.update(values.numpy().tobytes())
    return digest.hexdigest()
