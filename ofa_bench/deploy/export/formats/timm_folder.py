"""`timm`: a folder that `timm.create_model("local-dir:…", pretrained=True)` loads.

A configuration of timm names one of its architectures and arguments of its constructor, not a list
of blocks. So only those subnets can be said that are an architecture of timm, block by block.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ofa_bench.deploy.export.exporter import Deployable, Floats
from ofa_bench.deploy.export.formats.program import TorchFile
from ofa_bench.errors import UsageError
from ofa_bench.optional.libraries import require_library

NAME = "timm"
CONFIG, WEIGHTS = "config.json", "model.safetensors"
ARCHITECTURES = ("mnasnet_100", "spnasnet_100", "mnasnet_small", "mobilenetv2_100")
"""Those of timm that are inverted residuals behind a 3×3 stem, with one activation throughout."""

Layer = tuple[str, tuple[int, ...]]


class TimmExporter:
    """Writes `config.json` and `model.safetensors`, the unfolded weights by timm's names."""

    files = (CONFIG, WEIGHTS)
    exact = True

    def require(self, model: Deployable) -> None:
        """timm must be installed, and have this very network as an architecture."""
        require_library(NAME, NAME, "the format timm")
        architecture_of(model)

    def write(self, model: Deployable, folder: Path) -> None:
        from safetensors.torch import save

        name = architecture_of(model)
        config = configuration(name, model)
        state = renamed(model.unfolded, skeleton(name, model))
        (folder / CONFIG).write_text(json.dumps(config, indent=1), encoding="utf-8")
        (folder / WEIGHTS).write_bytes(save(state, metadata={"format": "pt"}))

    def read(self, folder: Path) -> TimmFile:
        import timm

        net: Any = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
        return TimmFile(net, net.pretrained_cfg["input_size"])


class TimmFile(TorchFile):
    """A network that timm has loaded."""

    def facts(self) -> dict[str, Any]:
        import timm

        return {"timm": timm.__version__, "architecture": self.net.pretrained_cfg["architecture"]}

    def activations(self, images: Floats) -> dict[str, Floats]:
        """Nothing: timm's layers have other names."""
        return {}


def architecture_of(model: Deployable) -> str:
    """timm's name of this network. Raises UsageError with what differs from the nearest."""
    acts = {model.table.stem.act, model.table.first.act, model.table.head.act}
    acts |= {block.act for block in model.table.blocks}
    ours, nearest = layers_of(model.unfolded), ("", -1, "")
    hint = "networks such as MnasNet-B1 in a ProxylessNAS space can; other formats take any"
    if len(acts) > 1 or "h_swish" in acts:
        raise UsageError(
            f"timm's architectures of inverted residuals cannot say activations {sorted(acts)}",
            hint,
        )
    for name in ARCHITECTURES:
        theirs = layers_of(skeleton(name, model))
        pairs = list(zip(ours, theirs, strict=False))
        alike = next((n for n, (one, two) in enumerate(pairs) if one[1] != two[1]), len(pairs))
        if alike == len(ours) == len(theirs):
            if shortcuts_of(name, model):
                return name
            reason = f"{name} has other shortcuts"
        elif alike < len(pairs):
            layer, (mine, other) = pairs[alike][0][0], (pair[1] for pair in pairs[alike])
            reason = f"in {name}, {layer} is {_spelled(other)}, not {_spelled(mine)}"
        else:
            reason = f"{name} has {len(theirs)} layers, not {len(ours)}"
        if alike > nearest[1]:
            nearest = (name, alike, reason)
    raise UsageError(f"no architecture of timm is this network: {nearest[2]}", hint)


def arguments(model: Deployable) -> dict[str, Any]:
    return {"act_layer": model.table.stem.act, "bn_eps": model.table.norm_eps}


def skeleton(name: str, model: Deployable) -> nn.Module:
    """timm's network without values."""
    import timm

    with torch.device("meta"):
        classes, values = len(model.classes), arguments(model)
        net: nn.Module = timm.create_model(name, num_classes=classes, **values)
    return net


def configuration(name: str, model: Deployable) -> dict[str, Any]:
    images, classes = model.images, len(model.classes)
    side = images.resolution
    return {
        "architecture": name,
        "num_classes": classes,
        "num_features": model.table.head.final,
        "label_names": list(model.classes),
        "model_args": arguments(model),
        "pretrained_cfg": {
            "architecture": name,
            "input_size": [3, side, side],
            "mean": list(images.mean),
            "std": list(images.std),
            "interpolation": images.interpolation,
            "crop_pct": side / images.resize,
            "num_classes": classes,
            "pool_size": [1, 1],
            "first_conv": "conv_stem",
            "classifier": "classifier",
            "custom_load": False,
        },
    }


def layers_of(net: nn.Module) -> list[Layer]:
    """Name and shape of each convolution and classifier, in the order in which they run."""
    layers: list[Layer] = []
    for name, layer in net.named_modules():
        if isinstance(layer, nn.Conv2d):
            shape = (layer.in_channels, layer.out_channels, *layer.kernel_size, *layer.stride)
            layers.append((name, (*map(int, shape), layer.groups, int(layer.bias is not None))))
        elif isinstance(layer, nn.Linear):
            layers.append((name, (layer.in_features, layer.out_features)))
    return layers


def shortcuts_of(name: str, model: Deployable) -> bool:
    """Whether timm's blocks have shortcuts where ours have, and only there."""
    net: Any = skeleton(name, model)
    theirs = [bool(block.has_skip) for stage in net.blocks for block in stage]
    table = model.table
    return theirs == [table.first.shortcut, *(block.shortcut for block in table.blocks)]


def renamed(net: nn.Module, timm_net: nn.Module) -> dict[str, torch.Tensor]:
    """The state of our network by timm's names: layers with weights correspond in order."""
    pairs = zip(_holders(net), _holders(timm_net), strict=True)
    return {
        f"{theirs}.{leaf}": value.contiguous()
        for (_, layer), (theirs, _) in pairs
        for leaf, value in layer.state_dict().items()
    }


def _holders(net: nn.Module) -> list[tuple[str, nn.Module]]:
    return [
        (name, layer)
        for name, layer in net.named_modules()
        if next(layer.parameters(recurse=False), None) is not None
    ]


def _spelled(shape: tuple[int, ...]) -> str:
    if len(shape) == 2:
        return f"{shape[0]} → {shape[1]}"
    inputs, outputs, kernel, _, stride, *_ = shape
    return f"{inputs} → {outputs} by {kernel}×{kernel}, stride {stride}"
