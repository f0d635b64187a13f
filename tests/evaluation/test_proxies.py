"""Zero-cost proxies against their formulas by hand; their contract is held by `plugin check`."""

from __future__ import annotations

import math
import random
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ofa_bench.data.discovery.datasets import load_spec
from ofa_bench.data.open import open_source
from ofa_bench.data.sources.batch import MicroBatch
from ofa_bench.errors import PluginError, UnknownName, UsageError
from ofa_bench.evaluation.proxies import (
    JacobCovProxy,
    MacsProxy,
    ParamsProxy,
    SynflowProxy,
    ZicoProxy,
)
from ofa_bench.evaluation.proxy_scores import proxy_scores, untrained
from ofa_bench.hooks.catalogue import Catalogue, Origin, discover
from ofa_bench.nets.extract import Gated, Residual
from ofa_bench.nets.mbconv import build
from ofa_bench.space import Subnet, load_space
from ofa_bench.testing import check_plugin, contract

TOY = load_space("toy")
NAMES = ("macs", "params", "synflow", "jacob_cov", "zico")
PROXIES = [held for held in contract("deployment", trains=False) if "proxy" in str(held)]


def digits(**options: Any) -> Any:
    asked: dict[str, Any] = {"resolution": 8, "augment": {"kind": "crop"}, "select": None}
    asked |= {"seed": 0, "device": torch.device("cpu"), **options}
    return open_source(load_spec("digits"), None, **asked)


def some(count: int, seed: int = 0) -> list[Subnet]:
    rng = random.Random(seed)
    drawn = [TOY.sample(rng) for _ in range(count)]
    return list(dict.fromkeys([TOY.largest, *drawn, TOY.smallest]))


def noise(count: int, *shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


def linear(weight: np.ndarray, bias: bool = False) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias)
    layer.weight = nn.Parameter(torch.tensor(weight, dtype=torch.float32))
    return layer


@pytest.mark.parametrize("held", PROXIES, ids=str)
def test_bundled_proxies_keep_the_contract(held: Any) -> None:
    held()


@pytest.mark.parametrize("name", ["toy", "laptop-32", "mobilenetv3-32", "proxylessnas-32"])
def test_macs_and_parameters_are_those_of_the_space(name: str) -> None:
    """The space counts them from its table, in whole numbers; here the layers are counted."""
    space, rng = load_space(name), random.Random(1)
    net = build(space, 10, seed=0)
    for subnet in (space.smallest, space.sample(rng), space.sample(rng), space.largest):
        plain, size = untrained(net, subnet, "torch", 0), subnet.resolution
        assert MacsProxy().score(plain, (3, size, size), ()) == space.macs(subnet, 10)
        assert ParamsProxy().score(plain, (3, size, size), ()) == space.params(subnet, 10)


def test_synflow_is_the_sum_over_paths() -> None:
    """Each weight is on the paths through it, so every path of n weights counts n times."""
    rng = np.random.default_rng(0)
    sizes = (3, 4, 5, 2)
    weights = [rng.normal(size=(sizes[i + 1], sizes[i])) for i in range(3)]
    by_hand = 0.0
    for path in product(*map(range, sizes)):
        by_hand += 3 * math.prod(abs(weights[i][path[i + 1], path[i]]) for i in range(3))
    layers = [linear(weight, bias=True) for weight in weights]
    norm = nn.BatchNorm1d(4)
    net = nn.Sequential(
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        *(layers[0], norm, nn.ReLU6(), layers[1], nn.Hardswish(), layers[2]),
    )
    score = SynflowProxy().score(net, (3, 6, 6), ())
    assert math.exp(score) == pytest.approx(by_hand, rel=1e-6)


def test_synflow_of_a_shortcut_and_a_gate() -> None:
    """A shortcut is a path without weights; a gate is open."""
    outer, inner = np.array([[2.0, -3.0, 1.0]]), np.diag([1.0, -2.0, 4.0])
    net = nn.Sequential(
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        Residual(nn.Sequential(linear(inner)), nn.Identity()),
        Gated(nn.Sequential(linear(np.eye(3)), nn.Hardsigmoid())),
        linear(outer),
    )
    through = sum(2 * abs(outer[0, i] * inner[i, i]) for i in range(3))
    score = SynflowProxy().score(net, (3, 2, 2), ())
    assert math.exp(score) == pytest.approx(through + np.abs(outer).sum())


def test_synflow_knows_neither_images_nor_signs() -> None:
    subnet, size = TOY.largest, TOY.largest.resolution
    net = build(TOY, 10, seed=0)
    scores = set()
    for seed, sign in ((0, 1), (1, 1), (0, -1)):
        plain = untrained(net, subnet, "torch", 0)
        with torch.no_grad():
            for parameter in plain.parameters():
                parameter.mul_(sign)
        batch = MicroBatch(noise(4, 3, size, size, seed=seed), torch.arange(4))
        scores.add(SynflowProxy().score(plain, (3, size, size), [batch]))
    assert len(scores) == 1 and scores.pop() > 0


def theirs(jacobian: np.ndarray) -> float:
    """The formula as Mellor et al. have it."""
    values, _ = np.linalg.eigh(np.corrcoef(jacobian))
    return -float(np.sum(np.log(values + 1e-5) + 1 / (values + 1e-5)))


def test_jacob_cov_of_known_jacobians() -> None:
    rng = np.random.default_rng(3)
    for count, inputs in ((2, 5), (6, 40), (9, 30)):
        jacobian = rng.normal(size=(count, inputs)) + rng.normal(size=(1, inputs))
        assert JacobCovProxy.diversity(torch.tensor(jacobian)) == pytest.approx(theirs(jacobian))


def test_jacob_cov_of_a_net_whose_gradient_is_known() -> None:
    """Of Σ tanh(W x) the gradient to image x is Wᵀ (1 − tanh²(W x))."""
    rng = np.random.default_rng(4)
    weight, images = rng.normal(size=(7, 12)) / 2, noise(5, 3, 2, 2, seed=2)
    net = nn.Sequential(nn.Flatten(), linear(weight), nn.Tanh())
    score = JacobCovProxy().score(net, (3, 2, 2), [MicroBatch(images, torch.zeros(5).long())])
    features = np.tanh(images.flatten(1).double().numpy() @ weight.T)
    assert score == pytest.approx(theirs((1 - features**2) @ weight), rel=1e-3)
    assert images.grad is None and not images.requires_grad


def test_jacob_cov_of_a_linear_net() -> None:
    """All images are seen alike: one eigenvalue is their number, the others are 0."""
    net, count, k = nn.Sequential(nn.Flatten(), linear(np.arange(12.0)[None])), 6, 1e-5
    batch = MicroBatch(noise(count, 3, 2, 2), torch.zeros(count).long())
    alike = -(math.log(count + k) + 1 / (count + k) + (count - 1) * (math.log(k) + 1 / k))
    assert JacobCovProxy().score(net, (3, 2, 2), [batch]) == pytest.approx(alike, rel=1e-6)
    assert JacobCovProxy.diversity(torch.eye(6, 20)) > alike
    assert math.isfinite(JacobCovProxy.diversity(torch.zeros(4, 9)))


def test_zico_of_a_linear_classifier() -> None:
    """The gradient of softmax regression is (p − y)ᵀ x / n; of two batches with absolute
    gradients a and b, mean over deviation is (a + b) / |a − b|."""
    rng = np.random.default_rng(5)
    weight = rng.normal(size=(4, 12)) / 3
    net, slopes, batches = nn.Sequential(nn.Flatten(), linear(weight)), [], []
    for seed in (1, 2):
        images, labels = noise(8, 3, 2, 2, seed=seed), torch.arange(8) % 4
        batches.append(MicroBatch(images, labels))
        inputs = images.flatten(1).double().numpy()
        powers = np.exp(inputs @ weight.T)
        errors = powers / powers.sum(1, keepdims=True) - np.eye(4)[labels.numpy()]
        slopes.append(np.abs(errors.T @ inputs / 8))
    a, b = slopes
    by_hand = math.log(np.sum((a + b) / np.abs(a - b)))
    assert ZicoProxy().score(net, (3, 2, 2), batches) == pytest.approx(by_hand, rel=1e-4)


def test_zico_adds_layers_and_leaves_out_dead_weights() -> None:
    first = torch.tensor([[1.0, 3.0, 0.0], [2.0, 1.0, 0.0]])
    assert ZicoProxy.steadiness(first) == pytest.approx(math.log(3 / 1 + 4 / 2))
    assert ZicoProxy.steadiness(torch.zeros(2, 5)) == 0
    three = np.abs(np.random.default_rng(0).normal(size=(3, 11)))
    by_hand = math.log((three.mean(0) / three.std(0)).sum())
    assert ZicoProxy.steadiness(torch.tensor(three)) == pytest.approx(by_hand)


def test_scores_depend_on_the_subnet_and_the_seed_alone() -> None:
    source, nets = digits(), some(1)
    scores = proxy_scores(TOY, nets, NAMES, source, 0)
    assert list(scores) == list(NAMES)
    assert all(list(held) == nets for held in scores.values())
    for subnet in nets[::-1]:
        alone = proxy_scores(TOY, [subnet], NAMES[::-1], digits(), 0)
        assert {name: alone[name][subnet] for name in NAMES} == {
            name: scores[name][subnet] for name in NAMES
        }
    other = proxy_scores(TOY, nets, NAMES, source, 1)
    assert other["macs"] == scores["macs"] and other["params"] == scores["params"]
    for name in NAMES[2:]:
        assert other[name][nets[0]] != scores[name][nets[0]]
    assert scores["macs"][TOY.largest] == TOY.macs(TOY.largest, 10)


def test_nothing_of_the_callers_settings_changes() -> None:
    nets = some(1)
    plain = proxy_scores(TOY, nets, NAMES, digits(), 0)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    before = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            scores = proxy_scores(TOY, nets, NAMES, digits(), 0)
            assert torch.is_inference_mode_enabled() and torch.is_autocast_enabled("cpu")
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert scores == plain
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tobytes() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_images_are_read_only_where_a_proxy_needs_them() -> None:
    source = digits()
    source.batches = None
    assert proxy_scores(TOY, some(0), ("macs", "synflow"), source, 0)["macs"]
    with pytest.raises(UnknownName, match="synflw"):
        proxy_scores(TOY, some(0), ("synflw",), source, 0)
    source.sizes = {"train": 3}
    with pytest.raises(UsageError, match="3 training images are too few for 2 batches"):
        proxy_scores(TOY, some(0), ("zico",), source, 0)


class Undecided:
    batches = 0

    def score(self, net: nn.Module, shape: Any, batches: Any) -> float:
        return math.nan


class Failing(Undecided):
    def score(self, net: nn.Module, shape: Any, batches: Any) -> float:
        raise ZeroDivisionError("no layer")


@pytest.mark.parametrize(
    ("cls", "reason"), [(Undecided, "answers nan for k"), (Failing, "ZeroDivisionError: no layer")]
)
def test_a_proxy_that_fails_is_named(cls: type, reason: str) -> None:
    addition = Catalogue(Origin("tests"))
    addition.proxy("mine", cls)
    addition.merge(discover().catalogue)
    with pytest.raises(PluginError, match=f"'mine' of tests.*{reason}"):
        proxy_scores(TOY, [TOY.largest], ("mine",), digits(), 0, catalogue=addition)


BROKEN = {
    "batches is None": ("None", "1.0"),
    "every net got 1.0": ("0", "1.0"),
    "got tensor": ("0", "sum(p.sum() for p in net.parameters()).detach()"),
    "shared generator of torch": ("0", "float(torch.rand(1))"),
    "a batch was changed": ("1", "float(batches[0].images.zero_().sum())"),
}


@pytest.mark.parametrize("complaint", BROKEN)
def test_a_broken_proxy_is_told_why(complaint: str, tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    count, answer = BROKEN[complaint]
    file.write_text(
        f"""import torch
from ofa_bench import hookimpl

class Broken:
    batches = {count}

    def score(self, net, shape, batches):
        return {answer}

@hookimpl
def register(catalogue):
    catalogue.proxy("broken", Broken)
"""
    )
    broken = check_plugin(file).broken
    assert complaint in " ".join(verdict.observed for verdict in broken)
    assert any("broken.py:" in verdict.where for verdict in broken)


def test_the_guides_proxy_keeps_the_contract(tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "hooks.md").read_text("utf-8")
    section = text.partition("\n## Proxies\n")[2].partition("\n## ")[0]
    file = tmp_path / "sharp.py"
    file.write_text(section.partition("```python\n")[2].partition("```")[0], "utf-8")
    assert check_plugin(file).ok
