"""The network of a block table, of ordinary torch layers; nothing else of ofa-bench is imported.

Layers have the names that `nets.extract` gives them, such as `stage1_block1.body.depthwise`.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from ofa_bench.deploy.model_folder.schema import BlockLayers, BlockTable

ACTS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "h_swish": nn.Hardswish,
}
Layers = dict[str, nn.Module]


class AddedShortcut(nn.Module):
    """The sum of a body and its shortcut."""

    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x) + self.shortcut(x)
        return y


class GatedFeatures(nn.Module):
    """Features times a gate computed from them (squeeze and excite, Hu et al. 2018)."""

    def __init__(self, gate: nn.Module) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x * self.gate(x)
        return y


def built(table: BlockTable, classes: int, *, folded: bool) -> nn.Sequential:
    """The network in evaluation mode, on the meta device: without values.

    `folded`: batch norms are part of the convolutions before them, which have a bias then.
    """
    with torch.device("meta"):
        return _Builder(table, folded).network(classes).eval()


class _Builder:
    def __init__(self, table: BlockTable, folded: bool) -> None:
        self.table, self.folded = table, folded

    def network(self, classes: int) -> nn.Sequential:
        layers: Layers = {"trunk": self.trunk()}
        channels = self.table.first.outputs
        for block, inputs in self.table.inputs():
            layers[block.name] = self.block(block, inputs)
            channels = block.outputs
        return _sequence({**layers, "head": self.head(channels, classes)})

    def conv_norm(
        self,
        name: str,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
    ) -> Layers:
        conv = nn.Conv2d(
            inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=self.folded
        )
        if self.folded:
            return {name: conv}
        return {name: conv, f"{name}_norm": nn.BatchNorm2d(outputs, eps=self.table.norm_eps)}

    def trunk(self) -> nn.Module:
        stem, first = self.table.stem, self.table.first
        width = stem.outputs
        body = {
            **self.conv_norm("depthwise", width, width, 3, first.stride, width),
            "act": ACTS[first.act](),
            **self.conv_norm("project", width, first.outputs),
        }
        inner = _around(first.shortcut, _sequence(body), width, first.outputs, first.stride)
        layers = self.conv_norm("stem", 3, width, 3, stem.stride)
        return _sequence({**layers, "stem_act": ACTS[stem.act](), "first": inner})

    def block(self, block: BlockLayers, inputs: int) -> nn.Module:
        middle = block.middle
        body = {
            **self.conv_norm("expand", inputs, middle),
            "expand_act": ACTS[block.act](),
            **self.conv_norm("depthwise", middle, middle, block.kernel, block.stride, middle),
            "depthwise_act": ACTS[block.act](),
        }
        if block.squeeze:
            gate: Layers = {
                "pool": nn.AdaptiveAvgPool2d(1),
                "reduce": nn.Conv2d(middle, block.squeeze, 1),
                "act": nn.ReLU(),
                "expand": nn.Conv2d(block.squeeze, middle, 1),
                "sigmoid": nn.Hardsigmoid(),
            }
            body["se"] = GatedFeatures(_sequence(gate))
        body |= self.conv_norm("project", middle, block.outputs)
        return _around(block.shortcut, _sequence(body), inputs, block.outputs, block.stride)

    def head(self, inputs: int, classes: int) -> nn.Module:
        head = self.table.head
        layers: Layers = {
            **self.conv_norm("final", inputs, head.final),
            "final_act": ACTS[head.act](),
            "pool": nn.AdaptiveAvgPool2d(1),
        }
        if head.mix:
            layers["mix"] = nn.Conv2d(head.final, head.mix, 1, bias=False)
            layers["mix_act"] = ACTS[head.act]()
        classifier = nn.Linear(head.mix or head.final, classes)
        return _sequence({**layers, "flatten": nn.Flatten(), "classifier": classifier})


def _around(
    shortcut: bool, body: nn.Sequential, inputs: int, outputs: int, stride: int
) -> nn.Module:
    """A body with a shortcut: the input, mean-pooled by the stride, its channels cut or filled up
    with zeros."""
    if not shortcut:
        return body
    way: Layers = {}
    if stride > 1:
        way["pool"] = nn.AvgPool2d(stride, ceil_mode=True)
    if outputs != inputs:
        way["pad"] = nn.ConstantPad3d((0, 0, 0, 0, 0, outputs - inputs), 0.0)
    return AddedShortcut(body, _sequence(way) if way else nn.Identity())


def _sequence(layers: Layers) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))
