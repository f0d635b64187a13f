"""The blocks of the supernet: trunk, inverted residual (Sandler et al. 2018), head."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ofa_bench.nets.elastic import (
    ACTIVATIONS,
    ElasticConv2d,
    ElasticDepthwise,
    ElasticNorm,
    SqueezeExcite,
    activate,
    conv_norm,
)
from ofa_bench.space import table

Shortcuts = Literal["identity", "everywhere"]


class Shortcut(nn.Module):
    """The input, mean-pooled by the stride, its channels cut or filled up with zeros."""

    def __init__(self, outputs: int, stride: int) -> None:
        super().__init__()
        self.outputs, self.stride = outputs, stride

    def forward(self, x: Tensor) -> Tensor:
        if self.stride > 1:
            x = F.avg_pool2d(x, self.stride, ceil_mode=True)
        missing = self.outputs - x.shape[1]  # a negative pad cuts
        return F.pad(x, (0, 0, 0, 0, 0, missing)) if missing else x


def shortcut_of(
    rule: Shortcuts, inputs: int, outputs: int, stride: int, allowed: bool = True
) -> Shortcut | None:
    """The shortcut around a block, None where the rule has none."""
    keeps_shape = stride == 1 and inputs == outputs
    exists = rule == "everywhere" or (keeps_shape and allowed)
    return Shortcut(outputs, stride) if exists else None


class Trunk(nn.Module):
    """Stem convolution and block 0, the same in every subnet."""

    def __init__(self, plan: table.Table, rule: Shortcuts) -> None:
        super().__init__()
        stem, first, eps = plan.stem, plan.first, plan.norm_eps
        self.stem = ElasticConv2d(3, stem.width, 3, stem.stride)
        self.stem_norm = ElasticNorm(stem.width, eps)
        self.stem_act = ACTIVATIONS[stem.act]()
        self.depthwise = ElasticDepthwise(stem.width, (3,), first.stride)
        self.depthwise_norm = ElasticNorm(stem.width, eps)
        self.act = ACTIVATIONS[first.act]()
        self.project = ElasticConv2d(stem.width, first.width)
        self.project_norm = ElasticNorm(first.width, eps)
        self.shortcut = shortcut_of(rule, stem.width, first.width, first.stride, first.shortcut)

    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        x = conv_norm(self.stem, self.stem_norm, x, self.stem.weight)
        x = activate(self.stem_act, x)
        y = conv_norm(self.depthwise, self.depthwise_norm, x, self.depthwise.weight)
        y = activate(self.act, y)
        y = conv_norm(self.project, self.project_norm, y, self.project.weight)
        return y if self.shortcut is None else y + self.shortcut(x)


class MBConv(nn.Module):
    """Expand 1×1, depthwise k×k, gate, project 1×1; elastic in kernel and middle width."""

    def __init__(
        self,
        inputs: int,
        row: table.Row,
        stride: int,
        transforms: bool,
        eps: float,
        rule: Shortcuts,
    ) -> None:
        super().__init__()
        self.inputs = inputs
        middle = self.middle(max(row.expand))
        self.expand = ElasticConv2d(inputs, middle)
        self.expand_norm = ElasticNorm(middle, eps)
        self.depthwise = ElasticDepthwise(middle, row.kernel, stride, transforms)
        self.depthwise_norm = ElasticNorm(middle, eps)
        self.se = SqueezeExcite(middle) if row.se else None
        self.project = ElasticConv2d(middle, row.width)
        self.project_norm = ElasticNorm(row.width, eps)
        self.act = ACTIVATIONS[row.act]()
        self.shortcut = shortcut_of(rule, inputs, row.width, stride)

    def middle(self, expand: int) -> int:
        """Middle width of an expand ratio."""
        return table.round8(round(self.inputs * expand))

    def forward(self, x: Tensor, kernel: int, middle: int) -> Tensor:
        y = conv_norm(self.expand, self.expand_norm, x, self.expand.cut(middle, self.inputs))
        taken = self.depthwise.cut(middle, kernel)
        y = conv_norm(self.depthwise, self.depthwise_norm, activate(self.act, y), taken)
        y = activate(self.act, y)
        if self.se is not None:
            y = self.se(y)
        taken = self.project.cut(self.project.out_channels, middle)
        y = conv_norm(self.project, self.project_norm, y, taken)
        return y if self.shortcut is None else y + self.shortcut(x)


class HeadBlock(nn.Module):
    """Final 1×1 convolution, pool, feature mix, dropout, classifier."""

    def __init__(
        self, inputs: int, head: table.Head, classes: int, eps: float, dropout: float
    ) -> None:
        super().__init__()
        self.final = ElasticConv2d(inputs, head.final)
        self.final_norm = ElasticNorm(head.final, eps)
        self.mix = ElasticConv2d(head.final, head.mix) if head.mix else None
        self.classifier = nn.Linear(head.mix or head.final, classes)
        self.act = ACTIVATIONS[head.act]()
        self.dropout = dropout

    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        x = activate(self.act, conv_norm(self.final, self.final_norm, x, self.final.weight))
        x = x.mean((2, 3), keepdim=True)
        if self.mix is not None:
            x = activate(self.act, self.mix(x))
        x = x.flatten(1)
        if generator is not None and self.dropout > 0:
            keep = 1.0 - self.dropout
            x = x * torch.empty_like(x).bernoulli_(keep, generator=generator).div_(keep)
        logits: Tensor = self.classifier(x)
        return logits
