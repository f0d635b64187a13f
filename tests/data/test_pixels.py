"""Pixels of every transform against the same operations written on Pillow (pillow.py).

200 images with fixed seeds, drawn here and, where they are at hand, photographs.
"""

from __future__ import annotations

import io
import math
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.Image import Image as Picture

from ofa_bench.data.discovery.datasets import SPLIT_SEED, load_spec
from ofa_bench.data.open import open_source
from ofa_bench.data.readers.pixel_cache import prepare_cache
from ofa_bench.data.sources.batch import Address, MicroBatch
from ofa_bench.data.sources.resident import at_side
from ofa_bench.data.transforms.augment import Draws, crop_and_flip
from ofa_bench.data.transforms.per_sample import Augmented, Plain
from ofa_bench.recipe.layers import recipe_files
from ofa_bench.recipe.models import Augment
from ofa_bench.seeding import key
from ofa_bench.spec_files import specs_root

from .pillow import (
    Numbers,
    autoaugment,
    centre,
    erased,
    jitter,
    reflected_crop,
    resized_crop,
)

HERE = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("OFA_BENCH_DATA") or HERE.parent / "shared" / "data")
SAMPLE = REAL / "imagenet1k_sample" / "imagenet1k_sample.tar.gz"
MEAN = (0.485, 0.456, 0.406)
SIDE, COUNT, SEED, EPOCH = 64, 200, 11, 3


def drawn(number: int) -> Picture:
    """A scene: smooth light, a few edges, a little grain; 60 to 240 pixels a side."""
    rng = np.random.default_rng(number)
    height = int(rng.integers(60, 200))
    width = int(height * rng.uniform(0.7, 1.4))
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    scene = np.empty((height, width, 3))
    for channel in range(3):
        a, b, c = *rng.uniform(-0.08, 0.08, 2), rng.uniform(0, 6)
        scene[..., channel] = 128 + 90 * np.sin(a * x + b * y + c)
    for _ in range(4):
        nx, ny, at = *rng.normal(size=2), rng.uniform(0, 200)
        side = (nx * x + ny * y > at)[..., None]
        scene = np.where(side, 0.6 * scene + 0.4 * rng.uniform(0, 255, 3), scene)
    scene += rng.normal(0, 4, scene.shape)
    return Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8))


def photographs() -> Iterator[Picture]:
    with tarfile.open(SAMPLE) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None:
                image = Image.open(io.BytesIO(file.read())).convert("RGB")
                if max(image.size) < 4 / 3 * min(image.size) * 2:
                    yield image


@pytest.fixture(scope="module", params=["drawn", "photographs"])
def pictures(request: pytest.FixtureRequest) -> list[Picture]:
    if request.param == "drawn":
        return [drawn(number) for number in range(COUNT)]
    if not SAMPLE.is_file():
        pytest.skip("no photographs here")
    return [image for _, image in zip(range(COUNT), photographs(), strict=False)]


def tensor(image: Picture) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def array(pixels: torch.Tensor) -> np.ndarray:
    return pixels.permute(1, 2, 0).numpy().astype(np.float64)


def expected(image: Picture, options: dict[str, Any], position: int) -> np.ndarray:
    """A training image by the official operations, in their order."""
    numbers = Numbers(key("sample", SEED, EPOCH, position))
    image = resized_crop(image, SIDE, numbers)
    numbers.below(1), numbers.below(1)  # the shifts of a padded crop, which there is none of
    if numbers.below(2):
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if "autoaugment" in options:
        image = autoaugment(image, numbers)
    if "jitter" in options:
        image = jitter(image, options["jitter"], numbers)
    pixels = np.asarray(image).astype(np.float64)
    return erased(pixels, options["erasing"], MEAN, numbers) if "erasing" in options else pixels


def recipe(dataset: str) -> Augment:
    table: dict[str, Any] = {}
    for _, values in recipe_files([specs_root()], dataset, "any", "any"):
        table |= values.get("augment", {})
    return Augment.of(table)


CASES: dict[str, dict[str, Any]] = {
    "resized crop and flip": {},
    "AutoAugment": {"autoaugment": True},
    "jitter tf": {"jitter": "tf"},
    "jitter torch": {"jitter": "torch"},
    "erasing": {"erasing": 0.5},
}
RECIPES: dict[str, dict[str, Any]] = {  # by DepS's README; ImageNet-100 as far as it is known
    "imagenet": {"autoaugment": True, "jitter": "torch", "erasing": 0.2},
    "imagenet@proxylessnas": {"jitter": "torch", "erasing": 0.2},
    "imagenet100": {"jitter": "torch"},
    "folder": {"jitter": "torch"},
}


@pytest.mark.parametrize("case", [*CASES, *RECIPES])
def test_training_pixels(pictures: list[Picture], case: str) -> None:
    """Under 1/255 on average over 200 images, and no image out of the row."""
    options = (CASES | RECIPES)[case]
    plain = {"kind": "resized-crop", "flip": True}
    augment = Augment.of(plain | options) if case in CASES else recipe(case)
    ours = Augmented(augment, SIDE, SEED, MEAN)
    differences = [
        np.abs(array(ours(tensor(image), EPOCH, i)) - expected(image, options, i)).mean()
        for i, image in enumerate(pictures)
    ]
    assert len(differences) == COUNT
    assert np.mean(differences) < 1
    assert np.max(differences) < 8, int(np.argmax(differences))


def test_autoaugment_at_rotated_edges_and_everywhere(pictures: list[Picture]) -> None:
    """Nothing is resampled before it here: no pixel is off by more than a factor's rounding."""
    ours = Augmented(Augment(kind="none", flip=False, autoaugment=True), SIDE, SEED, MEAN)
    turned, differences = 0, []
    for position, image in enumerate(pictures):
        square = image.resize((SIDE, SIDE))
        numbers = Numbers(key("sample", SEED, EPOCH, position))
        for stop in (1, 1, 2):
            numbers.below(stop)
        theirs = np.asarray(autoaugment(square, numbers))
        differences.append(np.abs(array(ours(tensor(square), EPOCH, position)) - theirs))
        assert differences[-1].max() <= 1, position
        turned += bool((theirs[0, 0] == 0).all() and (theirs[-1, -1] == 0).all())
    assert np.mean(differences) < 0.01
    assert turned > COUNT / 40


def test_held_out_pixels(pictures: list[Picture]) -> None:
    """Short side to ceil(R / 0.875), bilinear and antialiased, then the centre."""
    plain = Plain(Augment(kind="resized-crop"), SIDE)
    short = math.ceil(SIDE / 0.875)
    differences = [
        np.abs(array(plain(tensor(image))) - np.asarray(centre(image, short, SIDE)))
        for image in pictures
    ]
    assert np.mean([d.mean() for d in differences]) < 0.5
    assert max(d.max() for d in differences) <= 1


def test_one_resize_of_a_resident_set(pictures: list[Picture]) -> None:
    """A set of one small size is resized once, bilinear and antialiased."""
    squares = [image.resize((48, 48)) for image in pictures]
    ours = at_side(torch.stack([tensor(s).permute(1, 2, 0) for s in squares]), 32).numpy()
    theirs = np.stack([np.asarray(s.resize((32, 32), Image.Resampling.BILINEAR)) for s in squares])
    assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1


@pytest.mark.parametrize("size", [128, 160, 192])
def test_a_batch_at_another_resolution(size: int) -> None:
    """One crop of 224 becomes the step's resolution: bilinear and antialiased, in floats."""
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(5))
    ours = MicroBatch(images, torch.zeros(2)).at(size).images
    for image, other in zip(images.flatten(0, 1), ours.flatten(0, 1), strict=True):
        theirs = Image.fromarray(image.numpy()).resize((size, size), Image.Resampling.BILINEAR)
        assert np.abs(other.numpy() - np.asarray(theirs)).max() < 1e-3


def test_pixels_of_a_cache(tmp_path: Path) -> None:
    """Images scaled down beforehand: bilinear and antialiased, to the short side asked for."""
    for number in range(8):
        for split in ("train", "val"):
            folder = tmp_path / "files" / split / "ab"[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            drawn(number).resize((120, 96)).save(folder / f"{number}.png")
    spec = load_spec("folder").model_copy(update={"mean": (0.0,) * 3, "std": (1 / 255,) * 3})
    prepare_cache(spec, tmp_path / "files", tmp_path / "pixels", 48, lambda planned: True)
    source = open_source(
        spec,
        tmp_path / "pixels",
        resolution=48,
        augment=Augment(),
        select=0,
        seed=0,
        device=torch.device("cpu"),
    )
    (batch,) = source.evaluation("test", 48, 8)
    files = sorted((tmp_path / "files" / "val").glob("*/*.png"))
    for image, file in zip(batch.images, files, strict=True):
        theirs = Image.open(file).resize((60, 48), Image.Resampling.BILINEAR).crop((6, 0, 54, 48))
        assert np.abs(array(image) - np.asarray(theirs)).max() < 1.01


def test_padded_crop_and_flip() -> None:
    """CIFAR's: reflect 4 pixels, crop, flip; exact, one by one and as a whole batch."""
    augment = recipe("cifar10")
    squares = [drawn(position).resize((32, 32)) for position in range(COUNT)]
    ours = Augmented(augment, 32, SEED, MEAN)
    for position, image in enumerate(squares):
        numbers = Numbers(key("sample", SEED, EPOCH, position))
        moved = shifted(image, numbers.below(9), numbers.below(9), numbers.below(2))
        assert np.array_equal(array(ours(tensor(image), EPOCH, position)), moved)
    draws = Draws(SEED, COUNT, augment, torch.device("cpu"))
    whole = Address(EPOCH, 0, COUNT)
    pool = torch.stack([tensor(image).permute(1, 2, 0) for image in squares])
    batch = crop_and_flip(pool, draws.rows(whole), draws.moves(whole)).numpy()
    numbers = Numbers(key("crop", SEED, EPOCH))
    down, right, flip = ([numbers.below(stop) for _ in range(COUNT)] for stop in (9, 9, 2))
    order = Numbers(key("order", SEED, EPOCH)).order(COUNT)
    for place, values in enumerate(zip(order, down, right, flip, strict=True)):
        assert np.array_equal(batch[place], shifted(squares[values[0]], *values[1:]))


def shifted(image: Picture, down: int, right: int, flip: int) -> np.ndarray:
    moved = reflected_crop(image, 4, down - 4, right - 4)
    turned = moved.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else moved
    return np.asarray(turned)


def test_calibration_crops_and_flips_only(tmp_path: Path) -> None:
    """Whatever colours the training images get, and whatever the run's seed is."""
    for number in range(40):
        for split in ("train", "val"):
            folder = tmp_path / split / "ab"[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            drawn(number).save(folder / f"{number:03d}.png")
    spec = load_spec("folder").model_copy(update={"mean": (0.0,) * 3, "std": (1 / 255,) * 3})
    source = open_source(
        spec,
        tmp_path,
        resolution=SIDE,
        augment=recipe("imagenet"),
        select=0,
        seed=SEED,
        device=torch.device("cpu"),
    )
    (batch,) = source.calibration(SIDE)
    files = sorted((tmp_path / "train").glob("*/*.png"))
    order = Numbers(key("order", SPLIT_SEED, 0)).order(len(files))
    for position, index in enumerate(order):
        numbers = Numbers(key("sample", SPLIT_SEED, 0, position))
        image = resized_crop(Image.open(files[index]), SIDE, numbers)
        numbers.below(1), numbers.below(1)
        if numbers.below(2):
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        difference = array(batch.images[position]) - np.asarray(image)
        assert np.abs(difference).max() < 1.5, position


def test_a_table_means_the_same_to_recipes_and_to_sources() -> None:
    """What is left out of [augment] has one default: a crop is padded by 4 and flipped."""
    assert Augment.of({"kind": "crop"}) == Augment(kind="crop", padding=4, flip=True)
    table, model = (
        open_source(
            load_spec("digits"),
            None,
            resolution=8,
            augment=augment,
            select=None,
            seed=0,
            device=torch.device("cpu"),
        )
        for augment in ({"kind": "crop"}, Augment(kind="crop"))
    )
    address = [Address(0, 0, 64)]
    one, other = (next(iter(source.batches(address))) for source in (table, model))
    assert torch.equal(one.images, other.images)
    plain = open_source(
        load_spec("digits"),
        None,
        resolution=8,
        augment={"kind": "none", "flip": False},
        select=None,
        seed=0,
        device=torch.device("cpu"),
    )
    assert not torch.equal(one.images, next(iter(plain.batches(address))).images)
