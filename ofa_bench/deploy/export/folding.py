"""The block table of an extracted subnet, and its norms folded into its convolutions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ofa_bench.deploy.model_folder.build import ACTS
from ofa_bench.deploy.model_folder.schema import (
    BlockLayers,
    BlockTable,
    FirstLayers,
    HeadLayers,
    StemLayers,
)

NAMES = {kind: name for name, kind in ACTS.items()}
NORM = "_norm."


def table_of(plain: nn.Sequential) -> BlockTable:
    """The block table of what `nets.extract` gives."""
    layers: Any = plain
    trunk, head, blocks = layers.trunk, layers.head, []
    for name, block in list(plain.named_children())[1:-1]:
        blocks.append(_block(name, block))
    body, shortcut = _inside(trunk.first)
    first = FirstLayers(
        outputs=body.project.out_channels,
        stride=body.depthwise.stride[0],
        act=NAMES[type(body.act)],
        shortcut=shortcut,
    )
    stem = StemLayers(
        outputs=trunk.stem.out_channels,
        stride=trunk.stem.stride[0],
        act=NAMES[type(trunk.stem_act)],
    )
    mix = getattr(head, "mix", None)
    end = HeadLayers(
        final=head.final.out_channels,
        mix=mix.out_channels if mix is not None else 0,
        act=NAMES[type(head.final_act)],
    )
    return BlockTable(
        norm_eps=trunk.stem_norm.eps, stem=stem, first=first, blocks=tuple(blocks), head=end
    )


def _block(name: str, block: nn.Module) -> BlockLayers:
    body, shortcut = _inside(block)
    gate = getattr(body, "se", None)
    return BlockLayers(
        name=name,
        middle=body.expand.out_channels,
        outputs=body.project.out_channels,
        kernel=body.depthwise.kernel_size[0],
        stride=body.depthwise.stride[0],
        act=NAMES[type(body.expand_act)],
        squeeze=gate.gate.reduce.out_channels if gate is not None else 0,
        shortcut=shortcut,
    )


def _inside(block: nn.Module) -> tuple[Any, bool]:
    """A block's body, and whether it has a shortcut."""
    body = getattr(block, "body", None)
    return (block, False) if body is None else (body, True)


def folded_state(state: Mapping[str, Tensor], eps: float) -> dict[str, Tensor]:
    """The state of a network with its batch norms folded, in single precision: evaluation folds so
    too, and its kernels are these to the bit."""
    folded = {name: value for name, value in state.items() if NORM not in name}
    for name in state:
        owner, mark, leaf = name.partition(f"{NORM}running_mean")
        if not mark or leaf:
            continue
        mean, variance, weight, bias = (
            state[f"{owner}{NORM}{part}"]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        folded[f"{owner}.weight"], folded[f"{owner}.bias"] = fuse_conv_bn_weights(
            state[f"{owner}.weight"], None, mean, variance, eps, weight, bias
        )
    return {name: value.detach().clone() for name, value in folded.items()}
