"""Weight initialization from one generator, in module order."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

Init = Literal["torch", "fan_in", "fan_out"]


@torch.no_grad()
def initialize(net: nn.Module, init: Init, seed: int) -> None:
    """Draw all convolutions and linear layers afresh; norms and kernel matrices stay as built.

    `torch` is torch's default, U(±1/√fan_in) with such biases; `fan_in` is Kaiming-normal;
    `fan_out` is N(0, 2/(k²·outputs)), also depthwise, as once-for-all draws it. The last two have
    zero biases and a linear layer of U(±1/√inputs).
    """
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            _convolution(module.weight, init, generator)
        elif isinstance(module, nn.Linear):
            _uniform(module.weight, module.in_features, generator)
        else:
            continue
        if module.bias is not None:
            _bias(module.bias, module.weight[0].numel(), init, generator)


def _convolution(weight: Tensor, init: Init, generator: torch.Generator) -> None:
    if init == "torch":
        _uniform(weight, weight[0].numel(), generator)
    elif init == "fan_in":
        nn.init.kaiming_normal_(weight, mode="fan_in", nonlinearity="relu", generator=generator)
    else:
        outputs, area = weight.shape[0], weight[0, 0].numel()
        weight.normal_(0.0, math.sqrt(2.0 / (area * outputs)), generator=generator)


def _bias(bias: Tensor, fan_in: int, init: Init, generator: torch.Generator) -> None:
    if init == "torch":
        _uniform(bias, fan_in, generator)
    else:
        bias.zero_()


def _uniform(tensor: Tensor, fan_in: int, generator: torch.Generator) -> None:
    bound = 1.0 / math.sqrt(fan_in)
    tensor.uniform_(-bound, bound, generator=generator)
