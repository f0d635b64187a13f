"""A faster GPU kernel for the input gradient of depthwise convolutions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode


class QuickerKernels(TorchFunctionMode):
    """While active, depthwise convolutions of stride 1 compute their input gradient by the forward
    kernel, in half the time of cuDNN's kernel for channels-last bf16."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is torch.conv2d and not kwargs and _fits(*args):
            return _convolved(*args)
        return func(*args, **(kwargs or {}))


def _fits(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> bool:
    """Whether it is depthwise, size-preserving and odd: the gradient is then a flipped kernel."""
    if bias is not None or x.dim() != 4 or not groups == x.shape[1] == weight.shape[0] > 1:
        return False
    side = weight.shape[-1]
    same = weight.shape[-2] == side and side % 2 == 1 and _pair(padding) == (side // 2,) * 2
    return same and _pair(stride) == _pair(dilation) == (1, 1)


def _pair(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value, value)


def _convolved(x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    kind = x.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        x, weight = x.to(dtype), weight.to(dtype)
    y: Tensor = _Depthwise.apply(x, weight)
    return y


class _Depthwise(torch.autograd.Function):
    """y = x ∗ w and, at stride 1, dx = dy ∗ flipped w."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _run(x, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        wants_x, wants_weight = ctx.needs_input_grad
        dx = _run(dy, weight.flip((2, 3))) if wants_x else None
        return dx, _weight_gradient(x, weight, dy) if wants_weight else None


def _run(x: Tensor, weight: Tensor) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        return torch.conv2d(x, weight, None, 1, weight.shape[-1] // 2, 1, len(weight))


def _weight_gradient(x: Tensor, weight: Tensor, dy: Tensor) -> Tensor:
    pad = [weight.shape[-1] // 2] * 2
    gradients: tuple[Tensor | None, Tensor, Tensor | None] = torch.ops.aten.convolution_backward(
        dy, x, weight, None, [1, 1], pad, [1, 1], False, [0, 0], len(weight), [False, True, False]
    )
    return gradients[1]
