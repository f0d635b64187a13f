"""Elastic layers: slices of the torch layers they extend, under the same parameter names.

A layer takes the leading channels of its parameters (Cai et al. 2020, once-for-all, 3.3); where
nothing is cut, the parameter itself is used, so the largest subnet costs what a plain net costs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ofa_bench.space.table import round8

Statistics = tuple[Tensor, Tensor]
"""Mean and biased variance of the active channels, each of shape [channels]."""

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "h_swish": nn.Hardswish,
}


def take(parameter: Tensor, *sizes: int) -> Tensor:
    """The leading corner of these sizes; the parameter itself when nothing is cut."""
    for dim, size in enumerate(sizes):
        if size != parameter.shape[dim]:
            parameter = parameter.narrow(dim, 0, size)
    return parameter


def centre(kernels: Tensor, size: int) -> Tensor:
    """The middle size × size of kernels [channels, 1, k, k], k − size even."""
    margin = (kernels.shape[-1] - size) // 2
    return kernels if margin == 0 else kernels[..., margin : margin + size, margin : margin + size]


def activate(activation: nn.Module, x: Tensor) -> Tensor:
    """Apply an activation; in place if no gradient is recorded, so do not reuse `x`."""
    activation.inplace = not torch.is_grad_enabled()  # type: ignore[assignment]
    y: Tensor = activation(x)
    return y


class ElasticConv2d(nn.Conv2d):
    """A convolution without bias whose first channels are used."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, kernel // 2, bias=False)

    def cut(self, outputs: int, inputs: int) -> Tensor:
        """Kernels [outputs, inputs, k, k] of the first channels."""
        return take(self.weight, outputs, inputs)


class ElasticDepthwise(nn.Conv2d):
    """A depthwise convolution, elastic in channels and kernel size.

    A smaller kernel is the centre of the next larger one, times a matrix of the layer where it has
    matrices (identity at first, shared by all channels; Cai et al. 2020, "elastic kernel size").
    """

    def __init__(
        self, channels: int, kernels: Iterable[int], stride: int = 1, transforms: bool = False
    ) -> None:
        self.kernels = tuple(sorted(set(kernels), reverse=True))
        largest = self.kernels[0]
        super().__init__(
            channels, channels, largest, stride, largest // 2, groups=channels, bias=False
        )
        self.transforms = transforms and len(self.kernels) > 1
        if self.transforms:
            for larger, smaller in itertools.pairwise(self.kernels):
                identity = nn.Parameter(torch.eye(smaller * smaller))
                self.register_parameter(matrix_name(larger, smaller), identity)

    def cut(self, channels: int, kernel: int) -> Tensor:
        """Kernels [channels, 1, kernel, kernel] of the first channels."""
        taken = take(self.weight, channels)
        if not self.transforms:
            return centre(taken, kernel)
        for larger, smaller in itertools.pairwise(self.kernels):
            if larger == kernel:
                break
            matrix = self.get_parameter(matrix_name(larger, smaller))
            flat = centre(taken, smaller).reshape(channels, smaller * smaller)
            taken = F.linear(flat, matrix).view(channels, 1, smaller, smaller)
        return taken

    def idle_matrices(self, kernels: Iterable[int]) -> set[str]:
        """Names of the matrices that none of these kernel sizes goes through."""
        if not self.transforms:
            return set()
        least = min(kernels)
        pairs = itertools.pairwise(self.kernels)
        return {matrix_name(larger, smaller) for larger, smaller in pairs if smaller < least}


def matrix_name(larger: int, smaller: int) -> str:
    """Parameter name of the matrix between two kernel sizes."""
    return f"matrix_{larger}to{smaller}"


class ElasticNorm(nn.BatchNorm2d):
    """Batch norm over the first channels, by the statistics of the batch.

    `statistics`, if set, replaces the batch statistics; it must be calibrated for the active
    subnet. `record`, if set, collects the statistics of each batch.
    """

    statistics: Statistics | None
    record: list[Statistics] | None

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__(channels, eps=eps, track_running_stats=False)
        self.statistics = None
        self.record = None

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        gamma, beta = take(self.weight, channels), take(self.bias, channels)
        if self.statistics is not None:
            return F.batch_norm(x, *self.statistics, gamma, beta, False, 0.0, self.eps)
        if self.record is None:
            return F.batch_norm(x, None, None, gamma, beta, True, 0.0, self.eps)
        mean, variance = x.new_zeros(channels), x.new_ones(channels)
        normed = F.batch_norm(x, mean, variance, gamma, beta, True, 1.0, self.eps)
        seen = x.numel() // channels
        self.record.append((mean, variance * ((seen - 1) / seen)))
        return normed

    def fold(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Fold the calibrated norm into kernels and bias. Raises ValueError without statistics."""
        if self.statistics is None:
            raise ValueError("only a calibrated norm folds")
        mean, variance = self.statistics
        channels = len(mean)
        scale = take(self.weight, channels) * torch.rsqrt(variance + self.eps)
        return weight * scale.view(-1, 1, 1, 1), take(self.bias, channels) - mean * scale


def convolve(conv: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolution of [n, inputs, h, w] by cut kernels, at the layer's stride, padded by k // 2."""
    groups = x.shape[1] // weight.shape[1]
    return F.conv2d(x, weight, bias, conv.stride, weight.shape[-1] // 2, 1, groups)


def conv_norm(conv: nn.Conv2d, norm: ElasticNorm, x: Tensor, weight: Tensor) -> Tensor:
    """Convolution, then norm; calibrated norms are folded into the kernels."""
    # Folding rounds once more, and double precision is there to compare bit by bit.
    if norm.statistics is not None and weight.dtype != torch.float64:
        return convolve(conv, x, *norm.fold(weight))
    normed: Tensor = norm(convolve(conv, x, weight))
    return normed


class SqueezeExcite(nn.Module):
    """Channel gates from pooled features (Hu et al. 2018), squeezed by four."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed(channels), 1)
        self.expand = nn.Conv2d(squeezed(channels), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        squeeze = squeezed(channels)
        gate = x.mean((2, 3), keepdim=True)
        gate = F.relu(_pointwise(self.reduce, gate, squeeze, channels))
        gate = F.hardsigmoid(_pointwise(self.expand, gate, channels, squeeze))
        return x * gate


def squeezed(channels: int) -> int:
    """Squeeze width of an active width."""
    return round8(channels // 4)


def _pointwise(conv: nn.Conv2d, x: Tensor, outputs: int, inputs: int) -> Tensor:
    bias = None if conv.bias is None else take(conv.bias, outputs)
    return F.conv2d(x, take(conv.weight, outputs, inputs), bias)
