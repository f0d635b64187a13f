"""What timm can say it loads with the same logits; what it cannot is refused with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ofa_bench import UsageError
from ofa_bench.nets.mbconv import MBConvNet
from ofa_bench.space import Subnet, load_space

from .untrained import network, prove

SPACE = "proxylessnas-ofa"


@pytest.fixture(scope="module")
def net() -> MBConvNet:
    return network(SPACE)


def mnasnet() -> Subnet:
    """MnasNet-B1 (Tan et al. 2019), which is a subnet of the ProxylessNAS space."""
    stages = [(3, 3, 3), (3, 5, 3), (3, 5, 6), (2, 3, 6), (4, 5, 6), (1, 3, 6)]
    blocks = [[(kernel, expand)] * depth for depth, kernel, expand in stages]
    return load_space(SPACE).compose(blocks, 128)


def test_timm_loads_what_it_can_say(net: MBConvNet, tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    subnet = mnasnet()
    assert subnet in load_space(SPACE)
    model, worst = prove(net, subnet, ("timm",), tmp_path)
    assert worst <= 1e-4
    loaded = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    with torch.no_grad():
        assert torch.allclose(loaded(model.example), model.unfolded(model.example), atol=1e-4)
    assert loaded.pretrained_cfg["label_names"] == list(model.classes)
    assert loaded.pretrained_cfg["input_size"][1] == 128


@pytest.mark.parametrize(
    ("space", "word"),
    [(SPACE, r"stage1_block1\.depthwise is .* not .* by 7×7"), ("toy", "activations")],
)
def test_what_timm_cannot_say_is_refused_with_the_reason(
    space: str, word: str, net: MBConvNet, tmp_path: Path
) -> None:
    pytest.importorskip("timm")
    other = net if space == SPACE else network(space)
    smallest = min(other.space.listed)
    with pytest.raises(UsageError, match=word) as caught:
        prove(other, other.space.largest.at(smallest), ("timm",), tmp_path)
    assert caught.value.hint and not (tmp_path / "config.json").exists()
