"""Jitter and erasing of whole batches, against those of one image at a time."""

from __future__ import annotations

import colorsys
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as edit

from ofa_bench.data.discovery.datasets import load_spec
from ofa_bench.data.open import open_source
from ofa_bench.data.sources.batch import Address
from ofa_bench.data.sources.source import BatchSource
from ofa_bench.data.transforms.colour import FACTORS, NOTHING, VARIABLE, coloured, jitters_on
from ofa_bench.data.transforms.per_sample import Augmented
from ofa_bench.errors import UsageError
from ofa_bench.recipe.models import Augment

MEAN, SIDE, COUNT = (0.485, 0.456, 0.406), 48, 64
GREY = tuple(round(255 * value) for value in MEAN)
ALONE = (edit.adjust_brightness, edit.adjust_contrast, edit.adjust_saturation, edit.adjust_hue)
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def scenes(count: int = COUNT, side: int = SIDE) -> torch.Tensor:
    """Smooth ones, noise, greys, and flat ones at the ends of the range: uint8 [n, R, R, 3]."""
    rng = np.random.default_rng(5)
    images = []
    for number in range(count):
        coarse = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        if number % 4 == 1:
            coarse = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        if number % 8 == 2:
            coarse[:] = coarse[..., :1]
        if number % 16 == 3:
            coarse[:] = rng.choice([0, 1, 254, 255], 3)
        images.append(np.asarray(Image.fromarray(coarse).resize((side, side))))
    return torch.from_numpy(np.stack(images))


def edited(pixels: torch.Tensor, operation: int, factors: torch.Tensor) -> torch.Tensor:
    """All images by one operation, whatever its place in their order."""
    table = torch.tensor([NOTHING] * len(factors))
    for row in range(len(table)):
        table[row, :4] = torch.roll(torch.arange(4.0), row)
    table = table.double()
    table[:, FACTORS.start + operation] = factors
    return coloured(pixels, table, GREY)


def one_by_one(pixels: torch.Tensor, operation: int, factors: list[float]) -> torch.Tensor:
    images = zip(pixels.permute(0, 3, 1, 2), factors, strict=True)
    edited = [ALONE[operation](image, factor) for image, factor in images]
    return torch.stack(edited).permute(0, 2, 3, 1)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("operation", "low", "high"),
    [(0, 0.6, 1.4), (1, 0.6, 1.4), (2, 0.5, 1.5), (3, -0.1, 0.1), (3, -0.5, 0.5)],
)
def test_an_edit_of_a_batch(operation: int, low: float, high: float, device: str) -> None:
    """All levels equal those of torchvision on one image; not only within rounding."""
    pixels = scenes()
    factors = torch.linspace(low, high, COUNT)  # the ends too
    ours = edited(pixels.to(device), operation, factors).cpu()
    theirs = one_by_one(pixels, operation, factors.tolist())
    off = (ours.int() - theirs.int()).abs()
    assert off.max() <= 1
    assert (off > 0).float().mean() < 1e-4


@pytest.mark.parametrize("turn", [-0.5, -0.1, 0.0, 1 / 6, 1 / 3, 0.5])
def test_hue_at_the_edges_of_its_circle(turn: float) -> None:
    """Pure and mixed colours, where two channels are the largest, greys, black and white, against
    the standard library's definition of hue, saturation and value."""
    levels = (0, 1, 127, 128, 254, 255)
    colours = [(r, g, b) for r in levels for g in levels for b in levels]
    pixels = torch.tensor(colours, dtype=torch.uint8).view(1, 1, -1, 3)
    ours = edited(pixels, 3, torch.tensor([turn])).view(-1, 3)
    for colour, turned in zip(colours, ours.tolist(), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(level / 255 for level in colour))
        wanted = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
        assert max(abs(255 * a - b) for a, b in zip(wanted, turned, strict=True)) <= 1, colour
        if len(set(colour)) == 1 or turn == 0:
            assert tuple(turned) == colour


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "options",
    [
        {"jitter": "torch"},
        {"jitter": "tf"},
        {"jitter": "torch", "erasing": 0.5},
        {"jitter": "torch", "autoaugment": True, "erasing": 0.2},
    ],
    ids=lambda options: "+".join(options),
)
def test_deferred_colours_are_those_of_the_worker(options: dict[str, object], device: str) -> None:
    """The same numbers are drawn, in the same order, and give the same pixels."""
    augment = Augment.of({"kind": "resized-crop", **options})
    whole = Augmented(augment, SIDE, 3, MEAN)
    split = Augmented(augment, SIDE, 3, MEAN, deferred=True)
    rendered, wanted, numbers = [], [], []
    for position, scene in enumerate(scenes(side=60)):
        image = scene.permute(2, 0, 1)
        wanted.append(whole(image, 1, position).permute(1, 2, 0))
        rendered.append(split(image, 1, position).permute(1, 2, 0))
        numbers.append([*split.numbers])
        assert whole.numbers == []
    table = torch.tensor(numbers, dtype=torch.float64)
    before = torch.stack(rendered)
    ours = coloured(before.to(device), table, GREY).cpu()
    off = (ours.int() - torch.stack(wanted).int()).abs()
    assert off.max() <= 1
    assert (off > 0).float().mean() < 1e-4
    assert torch.equal(before, torch.stack(rendered))
    assert bool((table[:, 10] > 0).any()) == ("erasing" in options)


def test_nothing_drawn_changes_nothing() -> None:
    pixels = scenes(4)
    assert torch.equal(coloured(pixels, torch.tensor([NOTHING] * 4), GREY), pixels)


def opened(tree: Path, **options: object) -> BatchSource:
    return open_source(
        load_spec("folder"),
        tree,
        resolution=32,
        augment={"kind": "resized-crop", "jitter": "torch", "erasing": 0.5},
        select=None,
        seed=0,
        device=torch.device("cpu"),
        **options,
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_a_source_gives_the_same_batches_either_way(
    tree: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    addresses = [Address(0, 0, 8), Address(1, 8, 24)]
    batches = {}
    for where in ("workers", "device"):
        monkeypatch.setenv(VARIABLE, where)
        source = opened(tree, workers=workers)
        assert source.loading() == {"workers": workers, "jitter": where}
        batches[where] = [*source.batches(addresses)]
        held_out = [*source.evaluation("test", 32, 8)], [*source.calibration(32)]
        batches[where] += [batch for part in held_out for batch in part]
    for one, other in zip(batches["workers"], batches["device"], strict=True):
        assert torch.equal(one.labels, other.labels)
        assert (one.images - other.images).abs().max() < 1.01 / (255 * 0.22)
        assert (one.images != other.images).float().mean() < 1e-4


def test_where_colours_are_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert (jitters_on(cpu), jitters_on(gpu)) == (False, True)
    for wish, answer in (("auto", [0, 1]), ("workers", [0, 0]), ("device", [1, 1])):
        monkeypatch.setitem(os.environ, VARIABLE, wish)
        assert [jitters_on(cpu), jitters_on(gpu)] == answer
    monkeypatch.setitem(os.environ, VARIABLE, "gpu")
    with pytest.raises(UsageError, match="OFA_BENCH_JITTER is 'gpu'"):
        jitters_on(gpu)
