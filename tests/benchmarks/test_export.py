"""Twenty random subnets of four spaces in every exact format: the promise of docs/deploy.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.export.untrained import network, prove, subnets

COUNT = 20


@pytest.mark.parametrize("name", ["toy", "laptop-32", "mobilenetv3-32", "proxylessnas-32"])
def test_random_subnets_agree(name: str, tmp_path: Path, benchmark: Any) -> None:
    net, worst = network(name), 0.0
    for subnet in subnets(name, COUNT):
        _, apart = prove(net, subnet, ("safetensors", "onnx", "pt2"), tmp_path)
        worst = max(worst, apart)
    assert worst <= 1e-4
    benchmark.extra_info["largest difference of a logit"] = worst
    benchmark.pedantic(lambda: None, rounds=1)
