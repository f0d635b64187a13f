"""Quicker kernels are the same mathematics, and are taken only where they are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ofa_bench.nets.mbconv import build
from ofa_bench.space import load_space
from ofa_bench.training.cuda import depthwise
from ofa_bench.training.cuda.depthwise import QuickerKernels


class Counted(QuickerKernels):
    """Counts the convolutions it takes over."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.taken = 0
        plain = depthwise._convolved

        def counted(*args: Any) -> Tensor:
            self.taken += 1
            return plain(*args)

        monkeypatch.setattr(depthwise, "_convolved", counted)


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_are_those_of_torch(
    kernel: int, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(kernel)
    conv = nn.Conv2d(6, 6, kernel, padding=kernel // 2, groups=6, bias=False).double()
    found = []
    for mode in (None, Counted(monkeypatch)):
        x = torch.randn(2, 6, 9, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        x = x.contiguous(memory_format=layout).requires_grad_()
        conv.zero_grad()
        if mode is None:
            y = conv(x)
        else:
            with mode:
                y = conv(x)
            assert mode.taken == 1
        (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape)).sum().backward()
        assert x.grad is not None and conv.weight.grad is not None
        found.append((y.detach(), x.grad, conv.weight.grad.clone()))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(4, 4, 3, 2, 1, groups=4, bias=False),
        nn.Conv2d(4, 4, 3, 1, 0, groups=4, bias=False),
        nn.Conv2d(4, 4, 3, 1, 1, groups=4, bias=True),
        nn.Conv2d(4, 4, 3, 1, 1, groups=2, bias=False),
        nn.Conv2d(4, 8, 3, 1, 1, groups=4, bias=False),
        nn.Conv2d(4, 4, 2, 1, 1, groups=4, bias=False),
        nn.Conv2d(4, 4, 3, 1, 2, dilation=2, groups=4, bias=False),
        nn.Conv2d(4, 4, (3, 1), 1, (1, 0), groups=4, bias=False),
        nn.Conv2d(4, 4, 3, padding="same", groups=4, bias=False),
        nn.Conv2d(4, 4, 1, bias=False),
    ],
    ids=str,
)
def test_all_else_is_left_alone(conv: nn.Conv2d, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(2, 4, 6, 6)
    with Counted(monkeypatch) as mode:
        y = conv(x)
    assert mode.taken == 0
    assert torch.equal(y, conv(x))


def test_half_precision_is_that_of_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    conv = nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False)
    x = torch.randn(2, 4, 6, 6, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        plain = conv(x)
        with Counted(monkeypatch) as mode:
            quick = conv(x)
    assert mode.taken == 1
    assert quick.dtype == plain.dtype == torch.bfloat16
    assert torch.equal(quick, plain)
    quick.float().sum().backward()
    assert x.grad is not None and x.grad.dtype == torch.float32
    assert conv.weight.grad is not None and conv.weight.grad.dtype == torch.float32


def test_a_whole_step_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    space = load_space("laptop-8")
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    gradients = []
    for mode in (None, Counted(monkeypatch)):
        net = build(space, 10, seed=3).double()
        if mode is None:
            net(images).square().sum().backward()
        else:
            with mode:
                net(images).square().sum().backward()
            assert mode.taken > 0
        gradients.append([p.grad for p in net.parameters() if p.grad is not None])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
