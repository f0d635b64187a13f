"""What the recipes do: steps, rates, losses, batches and lengths, against formulas written here.

The numbers are those of the papers and of the official code, none is read from a recipe.
"""

from __future__ import annotations

import math
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ofa_bench import Draw, Role, api
from ofa_bench.data.sources.batch import MicroBatch
from ofa_bench.hooks.hookspecs import Snapshot
from ofa_bench.losses import Losses
from ofa_bench.nets.mbconv import build
from ofa_bench.nets.protocol import decays
from ofa_bench.recipe.models import Optim
from ofa_bench.space import load_space
from ofa_bench.training.forward_backward import Passes
from ofa_bench.training.gradients import FlatGradients
from ofa_bench.training.optimizer import Optimizer
from ofa_bench.training.teacher import FrozenTeacher


@cache
def plan(dataset: str, method: str = "deps", space: str | None = None, *settings: str) -> Any:
    return api.plan(dataset=dataset, method=method, space=space, set=settings)


class Tiny(nn.Module):
    """A weight, a norm and a bias, by the names that decide upon decay."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        normal = lambda *shape: torch.randn(*shape, generator=generator).double()  # noqa: E731
        self.blocks = nn.ParameterDict()
        self.named = {
            "blocks.0.expand.weight": nn.Parameter(normal(3, 4)),
            "blocks.0.depthwise.matrix_7to5": nn.Parameter(normal(5, 5)),
            "blocks.0.expand_norm.weight": nn.Parameter(normal(4)),
            "blocks.0.expand_norm.bias": nn.Parameter(normal(4)),
            "blocks.1.classifier.bias": nn.Parameter(normal(6)),
        }


DECAYED = {"blocks.0.expand.weight", "blocks.0.depthwise.matrix_7to5"}


def gradient(value: Tensor, step: int) -> Tensor:
    return (value.detach() * (step + 1)).cos() * 0.1


def nesterov(value: Tensor, rate: float, decay: float, steps: int) -> Tensor:
    """v ← 0.9 v + g, w ← w − η (g + 0.9 v), with g the gradient and the decay."""
    value, velocity = value.detach().clone(), torch.zeros_like(value)
    for step in range(steps):
        g = gradient(value, step) + decay * value
        velocity = 0.9 * velocity + g
        value = value - rate * (g + 0.9 * velocity)
    return value


def heavy_ball(value: Tensor, rate: float, decay: float, steps: int) -> Tensor:
    """v ← 0.9 v + g, w ← w − η v."""
    value, velocity = value.detach().clone(), torch.zeros_like(value)
    for step in range(steps):
        velocity = 0.9 * velocity + gradient(value, step) + decay * value
        value = value - rate * velocity
    return value


def rmsprop(value: Tensor, rate: float, decay: float, steps: int) -> Tensor:
    """s ← 0.9 s + 0.1 g², b ← 0.9 b + g / (√s + 0.0316227766), w ← w − η b."""
    value, square, buffer = value.detach().clone(), torch.zeros_like(value), torch.zeros_like(value)
    for step in range(steps):
        g = gradient(value, step) + decay * value
        square = 0.9 * square + 0.1 * g * g
        buffer = 0.9 * buffer + g / (square.sqrt() + 0.0316227766)
        value = value - rate * buffer
    return value


STEPS = [  # data set, method, space, law, rate at the recipe's batch, decay
    ("imagenet", "deps", None, nesterov, 2.6, 3e-5),
    ("imagenet", "ofa", "mobilenetv3-ofa", nesterov, 2.6, 3e-5),
    ("imagenet", "compofa", "mobilenetv3-compofa", nesterov, 2.6, 3e-5),
    ("imagenet", "deps", "proxylessnas", nesterov, 0.2, 5e-5),
    ("imagenet", "deps", "proxylessnas-ofa-w1.3", nesterov, 0.2, 5e-5),
    ("imagenet", "bignas", None, rmsprop, 0.256 / 2, 1e-5),
    ("imagenet", "bignas-port", None, rmsprop, 0.256 / 2, 1e-5),
    ("imagenet", "spos", None, heavy_ball, 2 * 0.5, 4e-5),
    ("imagenet", "fairnas", None, nesterov, 8 * 0.045, 4e-5),
    ("imagenet", "attentivenas", None, nesterov, 0.8, 1e-5),
    ("imagenet", "attentivenas-worst", None, nesterov, 0.8, 1e-5),
    ("imagenet", "alphanet", None, nesterov, 0.8, 1e-5),
    ("imagenet100", "deps", None, nesterov, 4 * 0.143, 3e-5),
    ("cifar10", "deps", None, nesterov, 0.1, 3e-5),
    ("cifar100", "deps", None, nesterov, 0.1, 3e-5),
]


@pytest.mark.parametrize(("dataset", "method", "space", "law", "rate", "decay"), STEPS)
def test_five_steps_at_the_published_rate(dataset, method, space, law, rate, decay):
    """Momentum 0.9, decay of weights and matrices, none of norms and biases, in fp64."""
    assembled = plan(dataset, method, space)
    assert assembled.science.optim.base_lr == pytest.approx(rate, rel=1e-12)
    named = Tiny().named
    optimizer = Optimizer(assembled.science.optim, named, decays)
    optimizer.join(named)
    before = {name: value.detach().clone() for name, value in named.items()}
    for step in range(5):
        for value in named.values():
            value.grad = gradient(value, step)
        optimizer.step(assembled.science.optim.base_lr)
    for name, value in named.items():
        expected = law(before[name], rate, decay if name in DECAYED else 0.0, 5)
        assert torch.allclose(value, expected, rtol=1e-12, atol=1e-14), name


def test_rmsprop_alone_has_the_codes_digits():
    """Also without a recipe that says so; a record's own digits stay."""
    named = Tiny().named
    optimizer = Optimizer(Optim(name="rmsprop", nesterov=False), named, decays)
    optimizer.join(named)
    before = {name: value.detach().clone() for name, value in named.items()}
    for value in named.values():
        value.grad = gradient(value, 0)
    optimizer.step(0.5)
    for name, value in named.items():
        assert torch.allclose(value, rmsprop(before[name], 0.5, 0.0, 1), rtol=1e-13, atol=0)
    assert Optim(name="rmsprop", rms_eps=0.0316228).rms_eps == 0.0316228
    assert Optim().model_dump()["rms_eps"] == 0.0316228


BATCHES = [  # data set, space, images a step, images a norm sees, steps an epoch, held out
    ("imagenet", None, 2048, 128, math.ceil(1_271_167 / 2048), 10_000),
    ("imagenet", "proxylessnas", 1024, 64, math.ceil(1_271_167 / 1024), 10_000),
    ("imagenet100", None, 512, 64, math.ceil(121_689 / 512), 5000),
    ("cifar10", None, 256, 128, math.ceil(45_000 / 256), 5000),
    ("cifar100", None, 256, 128, math.ceil(45_000 / 256), 5000),
]


@pytest.mark.parametrize(("dataset", "space", "batch", "norm", "steps", "held"), BATCHES)
def test_images_of_a_step_and_of_a_norm(dataset, space, batch, norm, steps, held):
    assembled = plan(dataset, "deps", space)
    sizes = [stop - start for _, start, stop in assembled.schedule.cuts(0)]
    assert (sum(sizes), set(sizes)) == (batch, {norm})
    assert assembled.schedule.steps_per_epoch == steps
    assert assembled.sizes["select"] == held


LENGTHS = [
    ("imagenet", "deps", None, 270),
    ("imagenet", "bignas", None, 400),
    ("imagenet", "bignas-port", None, 400),
    ("imagenet", "ofa", "mobilenetv3-ofa", 605),
    ("imagenet", "compofa", "mobilenetv3-compofa", 330),
    ("imagenet", "random-subnet", None, 180),
    ("imagenet", "spos", None, 120),
    ("imagenet", "fairnas", None, 150),
    ("imagenet", "attentivenas", None, 360),
    ("imagenet", "alphanet", None, 360),
    ("imagenet", "deps", "proxylessnas", 305),
    ("imagenet100", "deps", None, 180),
    ("cifar10", "deps", None, 200),
    ("cifar100", "deps", None, 200),
]


@pytest.mark.parametrize(("dataset", "method", "space", "epochs"), LENGTHS)
def test_published_lengths(dataset, method, space, epochs):
    schedule = plan(dataset, method, space).schedule
    assert schedule.steps == pytest.approx(epochs * schedule.steps_per_epoch, abs=1)


def effective(assembled: Any, epoch: float) -> tuple[float, float]:
    """The rates of the largest net and of a random one at an epoch of the run."""
    step = assembled.schedule.step(round(epoch * assembled.schedule.steps_per_epoch))
    rate = assembled.bus.lr_at(step)
    draw = Draw(assembled.space.smallest, Role.SAMPLED)
    return rate, rate * assembled.bus.lr_share(step, draw)


LEAST = [
    ("imagenet", None, 2.6, 270, 0),
    ("imagenet", "proxylessnas", 0.2, 305, 5),
    ("imagenet100", None, 0.572, 180, 0),
    ("imagenet100", "proxylessnas", 0.1, 180, 5),
    ("cifar10", None, 0.1, 200, 0),
    ("cifar100", None, 0.1, 200, 0),
]


@pytest.mark.parametrize(("dataset", "space", "peak", "epochs", "warmup"), LEAST)
def test_rates_of_a_whole_run(dataset, space, peak, epochs, warmup):
    """max(2.5e-3, cosine) in absolute terms; the ramp's 5 epochs, its aim one epoch past it."""
    assembled = plan(dataset, "deps", space)

    def cosine(epoch: float) -> float:
        share = (epoch - warmup) / (epochs - warmup)
        return max(2.5e-3, 0.5 * peak * (1 + math.cos(math.pi * share)))

    for share in (0.1, 0.3, 0.8, 0.95, 0.999):
        assert effective(assembled, share * epochs)[0] == pytest.approx(
            cosine(share * epochs), rel=5e-3
        )
    last = assembled.schedule.step(assembled.schedule.steps - 1)
    assert assembled.bus.lr_at(last) == pytest.approx(2.5e-3, rel=1e-9)
    steps = assembled.schedule.steps_per_epoch
    start = assembled.schedule.edges[1] / steps
    full = start + 5
    at = lambda epoch: effective(assembled, epoch)[1]  # noqa: E731
    assert at(start + 2.5) == pytest.approx(0.5 * cosine(full + 1), rel=2 / (2.5 * steps))
    assert at(full - 1 / steps) == pytest.approx(cosine(full + 1), rel=1 / steps)
    assert at(full) == pytest.approx(cosine(full), rel=1e-3)


def test_proxyless_warm_up():
    """From 0: the s-th step of 5 epochs has s/S of 0.2, the peak is reached as they end."""
    assembled = plan("imagenet", "deps", "proxylessnas")
    steps = 5 * assembled.schedule.steps_per_epoch
    for step in (1, 100, steps):
        rate = assembled.bus.lr_at(assembled.schedule.step(step - 1))
        assert rate == pytest.approx(0.2 * step / steps, rel=1e-9)
    assert assembled.bus.lr_at(assembled.schedule.step(steps)) == pytest.approx(0.2)


def test_the_readmes_gamma_is_one_setting_away():
    """`--lr_gamma 0.973` by epochs: 0.973^(e+1) in epoch e, not under 5 % of 0.128."""
    chosen = ("lr.gamma=0.973", "lr.every=1 epochs")
    assembled = plan("imagenet", "bignas-port", None, *chosen)
    for epoch in (0, 1, 50, 399):
        rate = assembled.bus.lr_at(
            assembled.schedule.step(epoch * assembled.schedule.steps_per_epoch)
        )
        assert rate == pytest.approx(0.128 * max(0.05, 0.973 ** (epoch + 1)))


LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.3, 0.1, -2.0]], dtype=torch.float64)
LABELS = torch.tensor([0, 2])


def smoothed(share: float) -> float:
    """−Σ target · log softmax with 1 − share on the label and share / classes on all."""
    total = 0.0
    for row, label in zip(LOGITS.tolist(), LABELS.tolist(), strict=True):
        whole = math.log(sum(math.exp(x) for x in row))
        total -= sum(
            ((1 - share) * (i == label) + share / len(row)) * (x - whole) for i, x in enumerate(row)
        )
    return total / len(LOGITS)


@pytest.mark.parametrize(
    ("dataset", "space"),
    [(d, s) for d, _, s, *_ in STEPS] + [("folder-like", None)],
)
def test_label_smoothing_of_a_tenth(dataset, space):
    if dataset == "folder-like":
        assert Losses().hard(LOGITS, LABELS).item() == pytest.approx(smoothed(0.0))
        return
    loss = Losses(plan(dataset, "deps", space).science.optim.label_smoothing)
    assert loss.hard(LOGITS, LABELS).item() == pytest.approx(smoothed(0.1), rel=1e-12)


def network(dataset: str, method: str = "deps") -> tuple[Any, Any]:
    """A network of three small stages by the recipe's [net] table, and the recipe's plan."""
    assembled = plan(dataset, method)
    return build(load_space("toy"), 10, seed=0, **assembled.science.net.model_dump()), assembled


def logits_of(net: Any, assembled: Any, regularized: bool, seed: int = 0) -> Tensor:
    """What a draw's training pass hands to the loss."""
    seen: list[Tensor] = []
    bus = SimpleNamespace(
        loss=lambda step, draw, logits, *rest: seen.append(logits) or logits.sum()
    )
    passes = Passes(
        net=net,
        bus=bus,  # type: ignore[arg-type]
        criterion=Losses(),
        step=assembled.schedule.step(seed),
        draws=[Draw(net.space.largest, Role.LARGEST, regularized)],
        shares=[1.0],
    )
    images = torch.linspace(-1, 1, 16 * 3 * 64).reshape(16, 3, 8, 8)
    passes.run(MicroBatch(images, torch.zeros(16, dtype=torch.int64)), 0, 1.0, lambda draw: None)
    return seen[0].detach()


@pytest.mark.parametrize("dataset", ["imagenet", "imagenet100", "cifar10"])
def test_a_tenth_of_the_classifiers_inputs_is_dropped(dataset):
    """Before the linear layer alone, the rest scaled by 1/0.9; nothing where not regularized."""
    net, assembled = network(dataset)
    net.blocks[-1].classifier = nn.Identity()
    plain = logits_of(net, assembled, regularized=False)
    assert torch.equal(plain, logits_of(net, assembled, regularized=False, seed=1))
    dropped, alive = 0, 0
    for seed in range(10):
        ratio = (logits_of(net, assembled, True, seed) / plain)[plain.abs() > 1e-6]
        assert bool(((ratio.abs() < 1e-6) | ((ratio - 1 / 0.9).abs() < 1e-4)).all())
        dropped, alive = dropped + int((ratio == 0).sum()), alive + ratio.numel()
    assert abs(dropped / alive - 0.1) < 5 * (0.09 / alive) ** 0.5


def test_no_dropout_in_the_proxyless_recipe():
    table = plan("imagenet", "deps", "proxylessnas").science.net.model_dump()
    assert not build(load_space("toy"), 10, seed=0, **table).stochastic


@pytest.mark.parametrize("dataset", ["imagenet", "imagenet100", "cifar10"])
def test_initialisation_is_torchs(dataset):
    """U(±1/√fan_in) with such biases: DepS's code never calls its own."""
    net, _ = network(dataset)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.weight.numel() > 500:
            bound = module.weight[0].numel() ** -0.5
            assert float(module.weight.detach().abs().max()) <= bound
            assert float(module.weight.detach().std()) == pytest.approx(bound / 3**0.5, rel=0.1)
            if module.bias is not None:
                assert float(module.bias.detach().abs().max()) > 0


def test_blocks_begin_as_identities_for_the_paper_and_not_for_the_port():
    """BigNAS: the last γ is 0 and there is a way around every block, so only that way is seen."""
    for method, silent in (("bignas", True), ("bignas-port", False)):
        net, _ = network("digits", method)
        around = 0
        for _, block in net.slots():
            x = torch.randn(4, block.inputs, 4, 4)
            y = block(x, 7 if 7 in block.depthwise.kernels else 5, block.middle(3))
            if block.shortcut is None:
                assert not silent
                continue
            around += 1
            assert torch.allclose(y, block.shortcut(x)) is silent
        assert around == (len(list(net.slots())) if silent else around)


def test_gradients_are_summed_by_their_shares():
    """Equation 4: G = ∇full + ε·Σ∇sub, the subnets by the full net's answers, none divided."""
    net, assembled = network("digits")
    space, joint = net.space, assembled.schedule.step(assembled.schedule.edges[1])
    subnets = [space.largest, space.smallest, *(space.sample(joint.rng(str(i))) for i in (0, 1))]
    roles = [Role.LARGEST, Role.SMALLEST, Role.SAMPLED, Role.SAMPLED]
    images = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    labels = torch.arange(16) % 10
    gradients = FlatGradients(net.named_parameters())
    passes = Passes(
        net=net,
        bus=assembled.bus,
        criterion=Losses(0.1),
        step=joint,
        draws=[Draw(subnet, role) for subnet, role in zip(subnets, roles, strict=True)],
        shares=[1.0, 0.01, 0.01, 0.01],
    )
    passes.run(MicroBatch(images, labels), 0, 1.0, lambda draw: None)
    ours = gradients.flat.clone()
    target = torch.full((16, 10), 0.01)
    target[torch.arange(16), labels] += 0.9
    expected, teacher = torch.zeros_like(ours), None
    for number, subnet in enumerate(subnets):
        gradients.zero()
        net.activate(subnet)
        logits = net(images)
        target = target if teacher is None else teacher
        (-(target * logits.log_softmax(1)).sum(1).mean()).backward()
        teacher = logits.detach().softmax(1) if teacher is None else teacher
        expected += gradients.flat * (1.0 if number == 0 else 0.01)
    assert float((ours - expected).abs().max()) < 1e-5 * float(expected.abs().max())


def test_teachers_normalise_by_the_batch():
    """A teacher in training mode answers for an image by its company; in evaluation mode not."""
    net, assembled = network("digits", "ofa")
    images = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    value = next(v for v in assembled.teachers.values() if v is not None)
    assert isinstance(value, Snapshot)
    source = SimpleNamespace(calibration=lambda size: [MicroBatch(images, torch.zeros(8))])
    for mode, alike in ((value.mode, False), ("eval", True)):
        kind = Snapshot(net.space.largest, at=value.at, mode=mode)
        teacher = FrozenTeacher.taken(kind, net, source)
        whole, half = (
            teacher.on(MicroBatch(part, torch.zeros(len(part))))(8)[:4]
            for part in (images, images[:4])
        )
        assert torch.allclose(whole, half, atol=1e-5) is alike


def test_a_clipped_gradient_has_the_norm_asked_for_and_keeps_its_direction():
    layer = nn.Linear(4, 3)
    gradients = FlatGradients(layer.named_parameters())
    gradients.flat.copy_(torch.linspace(-3, 5, 15))
    before = gradients.flat.clone()
    gradients.clip(100.0)
    assert torch.equal(gradients.flat, before)
    gradients.clip(0.5)
    length = float(sum(x * x for x in before.tolist())) ** 0.5
    assert torch.allclose(gradients.flat, before * (0.5 / length), rtol=1e-5)
    assert torch.equal(layer.weight.grad.flatten(), gradients.flat[:12])
