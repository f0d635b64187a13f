"""Reading of untrusted weights files: size limits, no code execution, choice among several sets."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ofa_bench.errors import UsageError, suggest
from ofa_bench.limits import advice, limit
from ofa_bench.sanitize import command_line

State = Mapping[str, Tensor]

HINT = "a checkpoint is a file of named tensors, as torch.save(net.state_dict(), path) writes it"
# Names that training scripts keep weights under, the trained ones before their running mean.
SETS = (
    *("state_dict", "model_state_dict", "model", "net", "network", "weights", "params"),
    *("state_dict_ema", "model_ema", "ema", "ema_state_dict", "model_ema_state_dict"),
)
SLACK = 2**24  # bytes that any weights file may have, however small the network
ZIP = b"PK\x03\x04"


@dataclass(frozen=True)
class Weights:
    """The named tensors of a file, the set that they are, and the names of the other sets."""

    state: dict[str, Tensor]
    key: str = ""
    others: tuple[str, ...] = ()

    def note(self, file: Path) -> str | None:
        """A note on which set was chosen; None if the file holds only one."""
        if not self.others:
            return None
        others = " or ".join(f"{file}::{name}" for name in self.others)
        return f"{file} holds several sets of weights: takes {self.key!r}; {others} takes another"


def read_weights(file: Path, key: str = "", parameters: int | None = None) -> Weights:
    """The tensors of a weights file on the CPU, of the set `key` where one is named.

    `parameters` bounds the file's size by the network's. Raises UsageError, with the reason, for a
    file that is absent, too large, truncated, foreign, or holds anything but tensors.
    """
    if not file.is_file():
        raise UsageError(f"{file}: no such file", "give the path of a .pth or .safetensors file")
    return _chosen(_content(file, parameters, _any_format, HINT), key, file)


def read_safetensors(file: Path, parameters: int | None = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file on the CPU; no other format is read, whatever its name.

    Raises UsageError as `read_weights`.
    """
    hint = "the file must be safetensors"
    state: dict[str, Tensor] = _content(file, parameters, _safetensors, hint)
    return state


def _content(file: Path, parameters: int | None, read: Callable[[Path], Any], hint: str) -> Any:
    check_size(file, parameters)
    try:
        return read(file)
    except UsageError:
        raise
    except Exception as error:  # what foreign bytes raise has no bound
        raise UsageError(f"{file}: {_reason(file, error)}", hint) from error


def stripped(state: State, names: Collection[str] = ()) -> dict[str, Tensor]:
    """Remove the prefixes that wrappers add to all names (`module.`, `_orig_mod.`, `model.`).

    `names`: the network's names, whose first part stays.
    """
    kept = {name.partition(".")[0] for name in names}
    tensors = {name.replace("._orig_mod.", "."): value for name, value in state.items()}
    tensors.pop("n_averaged", None)  # the count of torch.optim.swa_utils.AveragedModel
    while tensors:
        first = next(iter(tensors)).partition(".")[0]
        if first in kept or not all(name.startswith(f"{first}.") for name in tensors):
            break
        tensors = {name.removeprefix(f"{first}."): value for name, value in tensors.items()}
    return tensors


def some(items: list[str], shown: int = 4) -> str:
    """The first few of a list in words, the rest counted."""
    rest = len(items) - shown
    return ", ".join(items[:shown]) + (f" and {rest} more" if rest > 0 else "")


def check_size(file: Path, parameters: int | None = None) -> None:
    """Raise UsageError where a weights file exceeds the limits, for a network of so many
    `parameters` where that is known."""
    size = file.stat().st_size
    if size > limit("weights-bytes"):
        raise UsageError(f"{file}: {size:,} bytes of weights", advice("weights-bytes", size))
    if parameters is None:
        return
    per_parameter = limit("weights-bytes-per-parameter")
    if size > SLACK + per_parameter * parameters:
        raise UsageError(
            f"{file}: {size:,} bytes of weights for a network of {parameters:,} parameters",
            advice("weights-bytes-per-parameter", -(-size // parameters)),
        )


def _any_format(file: Path) -> Any:
    """Told by what the file begins with: downloads are often called otherwise."""
    with file.open("rb") as stream:
        begin = stream.read(9)
    foreign = begin.startswith((ZIP, pickle.PROTO)) or file.suffix != ".safetensors"
    return _pickled(file) if foreign and begin[8:] != b"{" else _safetensors(file)


def _safetensors(file: Path) -> Any:
    from safetensors.torch import load_file

    with file.open("rb") as stream:
        header = int.from_bytes(stream.read(8), "little")
    if header > limit("weights-header-bytes"):
        real = header < file.stat().st_size
        raise UsageError(
            f"{file}: a header of {header:,} bytes is too large",
            advice("weights-header-bytes", header) if real else "the file is damaged or foreign",
        )
    return load_file(file, device="cpu")


def _pickled(file: Path) -> Any:
    with file.open("rb") as stream:
        if stream.read(4) == ZIP:
            _refuse_inflating(file)
    with warnings.catch_warnings():
        # torch warns of pickle protocols it then refuses; the refusal is enough.
        warnings.simplefilter("ignore")
        # Given a name, torch goes by its suffix.
        with file.open("rb") as stream:
            return torch.load(stream, map_location="cpu", weights_only=True)


def _refuse_inflating(file: Path) -> None:
    """Raise UsageError on compressed or overlapping zip members: torch writes neither, and both
    can expand without bound."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    packed = [member for member in members if member.compress_type != zipfile.ZIP_STORED]
    if packed or sum(member.file_size for member in members) > file.stat().st_size:
        raise UsageError(
            f"{file}: holds packed members, which torch never writes", "save it with torch.save"
        )


def _reason(file: Path, error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or "cannot be read"
    if file.stat().st_size == 0:
        return "is empty"
    if isinstance(error, pickle.UnpicklingError):
        if match := re.search(r"GLOBAL (\S+)", str(error)):
            return f"holds pickled code ({match[1]}), which is not executed"
        content = file.read_bytes()
        if content[:1] == pickle.PROTO and content[-1:] == pickle.STOP:
            return "is a pickle of more than tensors, which is not executed"
    return "is truncated, damaged, or not a checkpoint at all"


def _chosen(content: Any, key: str, file: Path) -> Weights:
    if not isinstance(content, Mapping) or not content:
        raise UsageError(f"{file}: holds no weights by name", HINT)
    sets = _sets(content)
    nested = list(sets)
    if key:
        if key not in nested:
            hint = suggest(key, nested) if nested else f"leave ::{key} out"
            raise UsageError(f"{file} holds no set of weights {key!r}", hint)
        return Weights(dict(sets[key]), key, ())
    known = [name for name in SETS if name in nested]
    if known:
        return Weights(dict(sets[known[0]]), known[0], tuple(known[1:]))
    wrapper = next((name for name in SETS if isinstance(content.get(name), Mapping)), None)
    state = content if wrapper is None else content[wrapper]
    strays = [str(name) for name, value in state.items() if not is_weight(name, value)]
    if strays or not state:
        hint = HINT
        if nested:
            names = " or ".join(command_line(f"{file}::{name}") for name in nested[:4])
            hint = f"it holds sets of weights under names of its own; name one: {names}"
        raise UsageError(f"{file}: {some(strays) or 'nothing in it is'} not a tensor", hint)
    return Weights(dict(state))


def _sets(content: Mapping[Any, Any]) -> dict[str, State]:
    """The sets of weights in a file by name, `checkpoint.model` for one within a table."""
    sets = {str(name): part for name, part in content.items() if _is_state(part)}
    inside = {
        f"{name}.{inner}": state
        for name, part in content.items()
        if isinstance(part, Mapping) and str(name) not in sets
        for inner, state in part.items()
        if _is_state(state)
    }
    return sets | inside


def _is_state(part: Any) -> bool:
    return (
        isinstance(part, Mapping)
        and bool(part)
        and all(is_weight(name, value) for name, value in part.items())
    )


def is_weight(name: object, value: object) -> bool:
    """Whether an entry is a tensor with a name."""
    return isinstance(name, str) and isinstance(value, Tensor)
