"""Loading of an exported folder as a plain network."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from torch import Tensor, nn

from ofa_bench.deploy.model_folder.build import built
from ofa_bench.deploy.model_folder.schema import FOLDED, UNFOLDED, ModelFile, read_model
from ofa_bench.deploy.model_folder.transform import ImageTransform
from ofa_bench.errors import UsageError
from ofa_bench.records.store import regular_file
from ofa_bench.sanitize import plain_text
from ofa_bench.weight_files.filling import check_kinds
from ofa_bench.weight_files.reading import read_safetensors

HUB = "hf:"


class LoadedNet(nn.Sequential):
    """A network of ordinary layers in evaluation mode: images [n, 3, r, r] to logits [n, classes].

    `transform` makes a Pillow image its input; `classes` names the logits; `model` is what the
    folder says of it.
    """

    transform: ImageTransform
    classes: tuple[str, ...]
    model: ModelFile


def load(source: str | Path, revision: str | None = None, *, folded: bool = True) -> LoadedNet:
    """The network of an exported folder.

    `folded`: with batch norms folded into the convolutions, as it was proved and measured; without,
    they stay layers of their own, for training on. Raises UsageError where the folder is no export,
    holds no weights, or weights that do not fit.
    """
    folder = local_folder(source, revision)
    model = read_model(folder)
    layers = built(model.architecture, len(model.classes), folded=folded)
    _fill(layers, folder / (FOLDED if folded else UNFOLDED))
    net = LoadedNet(OrderedDict(layers.named_children()))
    net.transform, net.classes, net.model = ImageTransform(model.input), model.classes, model
    net.eval()
    return net


def local_folder(source: str | Path, revision: str | None = None) -> Path:
    """The folder of a source. Raises UsageError."""
    if str(source).startswith(HUB):
        from ofa_bench.deploy.hub import fetched

        return fetched(source, revision)
    if revision is not None:
        raise UsageError("a folder has no revisions", "leave revision out")
    folder = Path(source)
    if not folder.is_dir():
        raise UsageError(f"{plain_text(source)}: no such folder", "name one that export wrote")
    return folder


def _fill(net: nn.Module, file: Path) -> None:
    """Give a network on the meta device the tensors of a file, each checked before."""
    regular_file(file, "export with --format safetensors, which is what is loaded")
    wanted = dict(net.state_dict())
    parameters = sum(value.numel() for value in wanted.values())
    state = read_safetensors(file, parameters)
    name, source = next(iter(wanted.keys() ^ state.keys()), None), plain_text(file)
    hint = "the file is of another export than model.json beside it"
    if name is not None:
        lack = "lacks" if name in wanted else "has a strange"
        raise UsageError(f"{source} {lack} {plain_text(name)}", hint)
    _check(state, wanted, source, hint)
    # Copies: what is read is a map of the file, which another program may cut off.
    copies = {name: value.clone() for name, value in state.items()}
    net.load_state_dict(copies, strict=True, assign=True)


def _check(state: dict[str, Tensor], wanted: dict[str, Tensor], source: str, hint: str) -> None:
    import torch

    floats = {name: value for name, value in state.items() if wanted[name].is_floating_point()}
    check_kinds(floats, source)
    for name, value in state.items():
        if value.shape != wanted[name].shape or value.dtype != wanted[name].dtype:
            shapes = f"{tuple(value.shape)}, not {tuple(wanted[name].shape)}"
            raise UsageError(f"{name} in {source} is {value.dtype} {shapes}", hint)
        if not bool(torch.isfinite(value).all()):
            raise UsageError(f"{name} in {source} holds values that are not finite", hint)
