"""Random subnets of the shipped spaces in every exact format; tests/benchmarks has twenty each."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from .untrained import CLASSES, network, prove, subnets

FORMATS = ("safetensors", "onnx", "pt2", "openvino")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("toy", {"shortcuts": "everywhere"}),
        ("laptop-32", {}),
    ],
)
def test_a_random_subnet_agrees(name: str, options: dict[str, str], tmp_path: Path) -> None:
    net = network(name, **options)
    (subnet,) = subnets(name, 1)
    model, worst = prove(net, subnet, FORMATS if name == "toy" else ("safetensors",), tmp_path)
    assert worst <= 1e-4
    assert model.table.parameters(CLASSES) == net.space.params(subnet, CLASSES)


def test_both_forms_are_one_function(tmp_path: Path) -> None:
    net = network("laptop-32")
    for subnet in subnets("laptop-32", 3):
        model, _ = prove(net, subnet, ("safetensors",), tmp_path)
        images = torch.randn(5, 3, subnet.resolution, subnet.resolution)
        with torch.no_grad():
            assert torch.allclose(model.folded(images), model.unfolded(images), atol=1e-4)
