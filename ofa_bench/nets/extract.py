"""Extraction of a subnet as a plain torch module with copies of its weights."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ofa_bench.errors import UsageError
from ofa_bench.nets.blocks import HeadBlock, MBConv, Shortcut, Trunk
from ofa_bench.nets.elastic import ElasticNorm, Statistics, squeezed, take
from ofa_bench.nets.mbconv import MBConvNet
from ofa_bench.space import Subnet

Layers = dict[str, nn.Module]


class Residual(nn.Module):
    """A body and its shortcut."""

    def __init__(self, body: nn.Sequential, shortcut: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x) + self.shortcut(x)
        return y


class Gated(nn.Module):
    """Features multiplied by a gate computed from them (squeeze and excite)."""

    def __init__(self, gate: nn.Sequential) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x * self.gate(x)
        return y


@torch.no_grad()
def extract(
    net: MBConvNet, subnet: Subnet, statistics: Mapping[str, Statistics] | None = None
) -> nn.Sequential:
    """The subnet as a plain module with copies of its weights, kernels taken after the matrices.

    `statistics` (norm's name in the supernet → mean and biased variance of its active channels)
    become the running statistics, and the module is returned in evaluation mode; without them
    its norms use the batch's, as the supernet's do. Logits equal the supernet's to the bit in
    double precision. Raises UsageError where the statistics of an active norm are missing.
    """
    copy = _Copy(statistics)
    layers: Layers = {}
    for index, name in enumerate(net.module_names):
        if net.key(subnet, index) is None:
            continue
        block = net.blocks[index]
        copy.norms = {norm: full for full, norm in net.norms(index).items()}
        if isinstance(block, Trunk):
            layers[name] = copy.trunk(block)
        elif isinstance(block, MBConv):
            kernel, expand = subnet.kernel[index - 1], subnet.expand[index - 1]
            assert kernel is not None and expand is not None
            layers[name] = copy.mbconv(block, kernel, block.middle(expand))
        elif isinstance(block, HeadBlock):
            layers[name] = copy.head(block)
    plain = _sequence(layers)
    return plain.train(statistics is None)


class _Copy:
    """Copies layers, with statistics for their norms."""

    def __init__(self, statistics: Mapping[str, Statistics] | None) -> None:
        self.statistics = statistics
        self.norms: dict[ElasticNorm, str] = {}

    def trunk(self, block: Trunk) -> nn.Module:
        stem: Layers = {
            "stem": _conv(block.stem, block.stem.weight),
            "stem_norm": self.norm(block.stem_norm, block.stem.out_channels),
            "stem_act": type(block.stem_act)(),
        }
        body: Layers = {
            "depthwise": _conv(block.depthwise, block.depthwise.weight),
            "depthwise_norm": self.norm(block.depthwise_norm, block.depthwise.out_channels),
            "act": type(block.act)(),
            "project": _conv(block.project, block.project.weight),
            "project_norm": self.norm(block.project_norm, block.project.out_channels),
        }
        first = _around(block.shortcut, block.stem.out_channels, _sequence(body))
        return _sequence({**stem, "first": first})

    def mbconv(self, block: MBConv, kernel: int, middle: int) -> nn.Module:
        outputs = block.project.out_channels
        body: Layers = {
            "expand": _conv(block.expand, block.expand.cut(middle, block.inputs)),
            "expand_norm": self.norm(block.expand_norm, middle),
            "expand_act": type(block.act)(),
            "depthwise": _conv(block.depthwise, block.depthwise.cut(middle, kernel)),
            "depthwise_norm": self.norm(block.depthwise_norm, middle),
            "depthwise_act": type(block.act)(),
        }
        if block.se is not None:
            squeeze = squeezed(middle)
            gate: Layers = {
                "pool": nn.AdaptiveAvgPool2d(1),
                "reduce": _conv(block.se.reduce, take(block.se.reduce.weight, squeeze, middle)),
                "act": nn.ReLU(),
                "expand": _conv(block.se.expand, take(block.se.expand.weight, middle, squeeze)),
                "sigmoid": nn.Hardsigmoid(),
            }
            body["se"] = Gated(_sequence(gate))
        body["project"] = _conv(block.project, block.project.cut(outputs, middle))
        body["project_norm"] = self.norm(block.project_norm, outputs)
        return _around(block.shortcut, block.inputs, _sequence(body))

    def head(self, block: HeadBlock) -> nn.Module:
        layers: Layers = {
            "final": _conv(block.final, block.final.weight),
            "final_norm": self.norm(block.final_norm, block.final.out_channels),
            "final_act": type(block.act)(),
            "pool": nn.AdaptiveAvgPool2d(1),
        }
        if block.mix is not None:
            layers |= {"mix": _conv(block.mix, block.mix.weight), "mix_act": type(block.act)()}
        linear = block.classifier
        classifier = nn.Linear(linear.in_features, linear.out_features, device="meta")
        classifier.weight, classifier.bias = _parameter(linear.weight), _parameter(linear.bias)
        return _sequence({**layers, "flatten": nn.Flatten(), "classifier": classifier})

    def norm(self, norm: ElasticNorm, channels: int) -> nn.BatchNorm2d:
        plain = nn.BatchNorm2d(
            channels, eps=norm.eps, track_running_stats=self.statistics is not None, device="meta"
        )
        plain.weight = _parameter(take(norm.weight, channels))
        plain.bias = _parameter(take(norm.bias, channels))
        if self.statistics is not None:
            name = self.norms[norm]
            if name not in self.statistics:
                raise UsageError(f"no statistics for {name}", "calibrate this very subnet first")
            mean, variance = self.statistics[name]
            plain.running_mean, plain.running_var = mean.clone(), variance.clone()
            plain.num_batches_tracked = torch.ones((), dtype=torch.long, device=mean.device)
        return plain


def _conv(conv: nn.Conv2d, weight: Tensor) -> nn.Conv2d:
    outputs, inputs, kernel, _ = weight.shape
    groups = outputs if conv.groups > 1 else 1
    plain = nn.Conv2d(
        inputs * groups,
        outputs,
        kernel,
        conv.stride,  # type: ignore[arg-type]
        kernel // 2,
        groups=groups,
        bias=conv.bias is not None,
        device="meta",
    )
    plain.weight = _parameter(weight)
    if conv.bias is not None:
        plain.bias = _parameter(take(conv.bias, outputs))
    return plain


def _around(shortcut: Shortcut | None, inputs: int, body: nn.Sequential) -> nn.Module:
    if shortcut is None:
        return body
    way: Layers = {}
    if shortcut.stride > 1:
        way["pool"] = nn.AvgPool2d(shortcut.stride, ceil_mode=True)
    if shortcut.outputs != inputs:
        way["pad"] = nn.ConstantPad3d((0, 0, 0, 0, 0, shortcut.outputs - inputs), 0.0)
    return Residual(body, _sequence(way) if way else nn.Identity())


def _parameter(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor.detach().clone())


def _sequence(layers: Layers) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))
