"""Checkpoints of the once-for-all package, adopted: they compute what the package computes."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image
from torch import nn

from ofa_bench import api
from ofa_bench.errors import ResumeError, UsageError
from ofa_bench.evaluation.calibration import calibrate
from ofa_bench.nets.extract import extract
from ofa_bench.records.store import Store
from ofa_bench.runs.finished import finished_run
from ofa_bench.runs.record_checks import record_checks
from ofa_bench.space import Subnet
from ofa_bench.weight_files.zoo import checkpoints

pytest.importorskip("ofa")
ZOO = {
    "ofa_proxyless_d234_e346_k357_w1.3": ("OFAProxylessNASNets", 1.3, "proxylessnas-ofa-w1.3"),
    "ofa_mbv3_d234_e346_k357_w1.0": ("OFAMobileNetV3", 1.0, "mobilenetv3-ofa"),
    "ofa_mbv3_d234_e346_k357_w1.2": ("OFAMobileNetV3", 1.2, "mobilenetv3-ofa-w1.2"),
}
PIXELS = 32
AGREE = 1e-5
SUBNETS = int(os.environ.get("OFA_BENCH_SUBNETS", "5"))  # of each network


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of random pixels: flat ones have no variance to calibrate on."""
    root = tmp_path_factory.mktemp("images")
    rng = numpy.random.default_rng(0)
    for split, count in (("train", 8), ("val", 2)):
        for label in ("one", "two"):
            (root / split / label).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (PIXELS, PIXELS, 3), dtype=numpy.uint8)
                Image.fromarray(pixels).save(root / split / label / f"{number}.png")
    return root


def peer_of(name: str, seed: int = 0, classes: int = 2) -> Any:
    """The zoo's network with its own defaults, batch-norm epsilon included, and random weights."""
    from ofa.imagenet_classification.elastic_nn import networks

    cls, width, _ = ZOO[name]
    torch.manual_seed(seed)
    peer = getattr(networks, cls)(
        n_classes=classes,
        dropout_rate=0,
        width_mult=width,
        ks_list=[3, 5, 7],
        expand_ratio_list=[3, 4, 6],
        depth_list=[2, 3, 4],
    )
    with torch.no_grad():
        for key, parameter in peer.named_parameters():
            if key.endswith("_matrix"):
                parameter.add_(torch.randn_like(parameter), alpha=0.05)
            elif ".bn." in key:
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return peer


def adopted(name: str, folder: Path, images: Path, file: str = "", **options: Any) -> Any:
    """A run adopted from the zoo's network, in a few small pixels, and that network."""
    peer = peer_of(name)
    path = folder / (file or name)
    torch.save({"state_dict": peer.state_dict()}, path)
    table = folder / "small.toml"
    base = ZOO[name][2]
    table.write_text(f'base = "{base}"\nsummary = "s"\nsource = "s"\nresolution = {PIXELS}\n')
    record = api.adopt(
        path,
        space=table,
        dataset="folder",
        data_dir=images,
        results=folder / "results",
        set=["evaluate.per_bucket=1", "evaluate.buckets=1", "data.select=2"],
        device="cpu",
        **options,
    )
    return record, peer


def subnet_of(peer: Any, run: Any, subnet: Subnet) -> nn.Module:
    peer.set_active_subnet(
        ks=[kernel or 3 for kernel in subnet.kernel],
        e=[expand or 3 for expand in subnet.expand],
        d=[run.space.depth_of(subnet, stage) for stage in range(len(run.space.blocks))],
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # the package copies what it cuts into new layers
    try:
        active: nn.Module = peer.get_active_subnet(preserve_weight=True)
    finally:
        torch.set_default_dtype(before)
    return active


@torch.no_grad()
def calibrated_like_ours(net: nn.Module, batches: list[torch.Tensor]) -> nn.Module:
    """The package's own way to calibrate: means of the batches' statistics, weighted by images."""
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    sums: dict[int, list[torch.Tensor]] = {}

    def note(norm: Any, inputs: Any) -> None:
        x = inputs[0]
        mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        old = sums.get(id(norm), [torch.zeros_like(mean), torch.zeros_like(variance)])
        sums[id(norm)] = [old[0] + mean * len(x), old[1] + variance * len(x)]

    hooks = [norm.register_forward_pre_hook(note) for norm in norms]
    net.train()
    for batch in batches:
        net(batch)
    for hook in hooks:
        hook.remove()
    count = sum(len(batch) for batch in batches)
    for norm in norms:
        norm.running_mean, norm.running_var = (part / count for part in sums[id(norm)])
    return net.eval()


@pytest.fixture(scope="module", params=list(ZOO)[:2])
def taken(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, images: Path
) -> tuple[str, Path, Any, Any]:
    """A zoo's name, the folder it was adopted in, the record, and the package's network."""
    folder = tmp_path_factory.mktemp("adopted")
    return (request.param, folder, *adopted(request.param, folder, images))


def test_logits_are_those_of_the_package(
    taken: tuple[str, Path, Any, Any], record_property: Callable[[str, object], None]
) -> None:
    """In double precision, since 60 norms in a row amplify the rounding of single."""
    name, folder, record, peer = taken
    run = finished_run(record.run.id, folder / "results", trust=True)
    rng, worst = random.Random(1), 0.0
    peer = peer.double()
    with run.open() as opened:
        net = opened.net.double()  # type: ignore[attr-defined]
        batches = [
            replace(batch, images=batch.images.double())
            for batch in opened.source.calibration(PIXELS)
        ]
        x = torch.cat([batch.images for batch in opened.source.evaluation("test", PIXELS, 8)])
        for _ in range(SUBNETS):
            subnet = run.space.sample(rng)
            ours = extract(net, subnet, calibrate(net, subnet, batches))
            active = subnet_of(peer, run, subnet)
            theirs = calibrated_like_ours(active, [batch.images for batch in batches])
            with torch.no_grad():
                gap = (ours(x.double()) - theirs(x.double())).abs().max()
            worst = max(worst, float(gap))
    record_property(f"adopted {name}: largest difference of logits", worst)
    assert worst < AGREE


def test_it_is_a_finished_run_that_holds(taken: tuple[str, Path, Any, Any], images: Path) -> None:
    name, folder, record, _ = taken
    results = folder / "results"
    assert record.status == "imported"
    eps = 1e-3 if "proxyless" in name else 1e-5
    assert (record.adoption.norm_eps, record.adoption.layout) == (eps, "once-for-all")
    assert name in record.adoption.norm_eps_source
    assert any("trained elsewhere" in note for note in record.task.notes)
    from ofa_bench.records.validation.validate import validate

    assert validate(Store(results).path(record), record_checks()) == []
    first = record.scores[0]
    again = api.evaluate(record.run.id, [first.name], results=results, trust=True)[0]
    assert again == first
    with pytest.raises(ResumeError, match="trained elsewhere"):
        api.resume(record.run.id, results, trust=True)
    again, _ = adopted(name, folder, images)
    assert again == record
    run = json.loads((results / "runs" / record.run.id / "run.json").read_text())
    assert "init" not in run["request"]
    from ofa_bench.leaderboard.board import boards

    held = boards(Store(results), context=record_checks(candidates=False))
    assert held == []  # its cost is not known, so no board ranks it


def test_the_epsilon_is_never_guessed(tmp_path: Path, images: Path) -> None:
    name = "ofa_mbv3_d234_e346_k357_w1.0"
    with pytest.raises(UsageError, match="which batch-norm epsilon") as error:
        adopted(name, tmp_path, images, file="downloaded.pth")
    assert "--norm-eps 1e-3" in error.value.hint
    assert not (tmp_path / "results").exists()
    for wrong in (0, 2, -1e-3, "small"):
        with pytest.raises(UsageError, match="norm_eps"):
            adopted(name, tmp_path, images, norm_eps=wrong)


def test_the_zoo_is_what_the_package_builds() -> None:
    for entry in checkpoints():
        peer = peer_of(entry.name)
        eps = {module.eps for module in peer.modules() if isinstance(module, nn.BatchNorm2d)}
        assert eps == {entry.norm_eps}
        assert entry.space == ZOO[entry.name][2]


def test_what_the_file_does_not_say_is_asked_for(tmp_path: Path) -> None:
    from ofa_bench.nets.mbconv import build

    path = tmp_path / "toy.pt"
    torch.save(build(api.load_space("toy"), 7, seed=1).state_dict(), path)
    given = {"space": "toy", "norm_eps": 1e-5, "results": tmp_path / "results"}
    with pytest.raises(UsageError, match="a classifier of 7 classes and no images") as error:
        api.adopt(path, **given)
    assert "--dataset NAME" in error.value.hint
    with pytest.raises(UsageError, match="7 classes, digits has 10"):
        api.adopt(path, dataset="digits", **given)
    with pytest.raises(UsageError, match=r"other shapes|does not fit"):
        torch.save(build(api.load_space("laptop-8"), 10, seed=1).state_dict(), path)
        api.adopt(path, dataset="digits", **given)
    assert not list((tmp_path / "results").glob("r*/**/*.json"))
    assert not list((tmp_path / "results").glob("runs/*/weights.safetensors"))


def test_a_run_that_begins_with_it_says_that_the_epsilon_differs(tmp_path: Path) -> None:
    from ofa_bench.training.weights import epsilon_note

    net = api.build_supernet(api.load_space("toy"), 10)
    path = tmp_path / "ofa_proxyless_d234_e346_k357_w1.3.pth"
    path.touch()
    assert "--set net.norm_eps=0.001" in (epsilon_note(net, path) or "")
    same = tmp_path / "ofa_mbv3_d234_e346_k357_w1.0"
    same.touch()
    assert epsilon_note(net, same) is None
