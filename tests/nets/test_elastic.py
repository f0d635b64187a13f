from __future__ import annotations

import pytest
import torch
from torch import nn

from ofa_bench.nets.elastic import (
    ElasticConv2d,
    ElasticDepthwise,
    ElasticNorm,
    SqueezeExcite,
    centre,
    conv_norm,
    take,
)


def test_the_whole_parameter_is_used_itself() -> None:
    conv = ElasticConv2d(8, 16)
    assert conv.cut(16, 8) is conv.weight
    depthwise = ElasticDepthwise(16, (3, 5, 7), transforms=True)
    assert depthwise.cut(16, 7) is depthwise.weight


def test_a_slice_is_the_leading_corner() -> None:
    conv = ElasticConv2d(8, 16)
    assert torch.equal(conv.cut(4, 3), conv.weight[:4, :3])
    assert torch.equal(take(conv.weight, 4), conv.weight[:4])


def test_slices_are_views() -> None:
    conv = ElasticConv2d(8, 16)
    assert conv.cut(4, 3).data_ptr() == conv.weight.data_ptr()


@pytest.mark.parametrize("kernel", [3, 5])
def test_identity_matrices_make_centre_crops(kernel: int) -> None:
    with_matrices = ElasticDepthwise(16, (7, 3, 5), transforms=True)
    crops = ElasticDepthwise(16, (7, 3, 5))
    crops.weight = with_matrices.weight
    margin = (7 - kernel) // 2
    crop = crops.weight[:8, :, margin : 7 - margin, margin : 7 - margin]
    assert torch.equal(crops.cut(8, kernel), crop)
    assert torch.allclose(with_matrices.cut(8, kernel), crop, atol=0, rtol=0)


def test_matrices_act_on_the_kernel_as_a_column_one_after_the_other() -> None:
    layer = ElasticDepthwise(4, (3, 5, 7), transforms=True).double()
    nn.init.normal_(layer.get_parameter("matrix_7to5"))
    nn.init.normal_(layer.get_parameter("matrix_5to3"))
    five = layer.get_parameter("matrix_7to5") @ layer.weight[2, 0, 1:6, 1:6].reshape(25)
    three = layer.get_parameter("matrix_5to3") @ five.view(5, 5)[1:4, 1:4].reshape(9)
    assert torch.allclose(layer.cut(4, 5)[2, 0], five.view(5, 5))
    assert torch.allclose(layer.cut(4, 3)[2, 0], three.view(3, 3))


def test_matrices_follow_the_sorted_kernels() -> None:
    names = dict(ElasticDepthwise(8, (3, 7), transforms=True).named_parameters())
    assert set(names) == {"weight", "matrix_7to3"}
    assert names["matrix_7to3"].shape == (9, 9)


@pytest.mark.parametrize(("kernels", "transforms"), [((7,), True), ((3, 5, 7), False)])
def test_no_matrices_where_none_are_wanted(kernels: tuple[int, ...], transforms: bool) -> None:
    layer = ElasticDepthwise(8, kernels, transforms=transforms)
    assert [name for name, _ in layer.named_parameters()] == ["weight"]


def test_the_gate_squeezes_the_active_width() -> None:
    gate = SqueezeExcite(96).double()
    x = torch.randn(2, 72, 3, 3, dtype=torch.float64)
    pooled = x.mean((2, 3))
    # round8(72 // 4) = round8(18) = 24, since 16 would be over 10 % below.
    hidden = torch.relu(pooled @ gate.reduce.weight[:24, :72, 0, 0].T + gate.reduce.bias[:24])
    scores = hidden @ gate.expand.weight[:72, :24, 0, 0].T + gate.expand.bias[:72]
    scale = torch.clamp(scores + 3, 0, 6) / 6
    assert torch.allclose(gate(x), x * scale[:, :, None, None])


def test_norm_uses_the_batch_whatever_the_mode() -> None:
    norm = ElasticNorm(8, eps=1e-3).double()
    x = torch.randn(5, 6, 4, 4, dtype=torch.float64) * 3 + 1
    mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
    expected = (x - mean[:, None, None]) / torch.sqrt(variance + 1e-3)[:, None, None]
    assert torch.allclose(norm.train()(x), expected)
    assert torch.allclose(norm.eval()(x), expected)
    assert list(norm.buffers()) == []


def test_norm_records_mean_and_biased_variance() -> None:
    norm = ElasticNorm(8, eps=1e-5).double()
    x = torch.randn(3, 6, 2, 2, dtype=torch.float64)
    plain = norm(x)
    norm.record = []
    assert torch.equal(norm(x), plain)
    ((mean, variance),) = norm.record
    assert torch.allclose(mean, x.mean((0, 2, 3)))
    assert torch.allclose(variance, x.var((0, 2, 3), unbiased=False))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_calibrated_norms_normalise_by_their_statistics(dtype: torch.dtype) -> None:
    conv, norm = ElasticConv2d(4, 8).to(dtype), ElasticNorm(8, eps=1e-5).to(dtype)
    nn.init.uniform_(norm.weight)
    nn.init.uniform_(norm.bias)
    x = torch.randn(2, 4, 3, 3, dtype=dtype)
    mean, variance = torch.randn(6, dtype=dtype), torch.rand(6, dtype=dtype) + 0.5
    norm.statistics = (mean, variance)
    y = torch.einsum("oi,nihw->nohw", conv.weight[:6, :, 0, 0], x)
    scale = norm.weight[:6] / torch.sqrt(variance + 1e-5)
    expected = (y - mean[:, None, None]) * scale[:, None, None] + norm.bias[:6, None, None]
    assert torch.allclose(conv_norm(conv, norm, x, conv.cut(6, 4)), expected, atol=1e-5)


def test_centre_of_the_same_size_is_the_kernel() -> None:
    kernels = torch.randn(2, 1, 5, 5)
    assert centre(kernels, 5) is kernels
