"""Images a second: resident, streamed from files, and streamed from prepared pixels."""

from __future__ import annotations

import os
import tarfile
import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from ofa_bench.data.discovery.datasets import load_spec
from ofa_bench.data.open import open_source
from ofa_bench.data.readers.pixel_cache import prepare_cache
from ofa_bench.data.sources.batch import Address
from ofa_bench.data.sources.source import BatchSource
from ofa_bench.errors import DataError

from .timing import Line, Table

BATCH = 64
ROOT = Path(os.environ.get("OFA_BENCH_DATA") or "data")
PHOTOS = ROOT / "imagenet1k_sample" / "imagenet1k_sample.tar.gz"


def opened(name: str, folder: Path, side: int, augment: dict[str, Any]) -> BatchSource:
    return open_source(
        load_spec(name),
        folder,
        resolution=side,
        augment=augment,
        select=0.1,
        seed=0,
        device=torch.device("cpu"),
    )


def rate(batches: Iterable[Any], count: int) -> float:
    """Images a second over so many batches, after one that opens what is to be opened."""
    stream = iter(batches)
    next(stream)
    began = time.perf_counter()
    images = sum(len(batch) for batch in islice(stream, count))
    return images / (time.perf_counter() - began)


def ours(source: BatchSource, count: int) -> float:
    places = (Address(0, at * BATCH, (at + 1) * BATCH) for at in range(count + 1))
    return rate((batch.labels for batch in source.batches(places)), count)


def told(table: Table, what: str, rates: list[float], against: str, others: list[float]) -> None:
    ratios = [a / b for a, b in zip(rates, others, strict=True)]
    table.add(Line(f"{what} ({max(rates):,.0f} images/s)", against, ratios, "–"))


def torchvisions(folder: Path, side: int, crop: bool) -> Any:
    """ImageFolder, PIL and a loader, as the usual script has it, in this process."""
    from torchvision import datasets, transforms

    first = (
        transforms.RandomCrop(side, 4, padding_mode="reflect")
        if crop
        else transforms.RandomResizedCrop(side)
    )
    steps = [first, transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    steps.append(transforms.Normalize([0.5] * 3, [0.25] * 3))
    found = datasets.ImageFolder(str(folder), transforms.Compose(steps))
    return torch.utils.data.DataLoader(found, BATCH, shuffle=True)


def test_small_images(table: Table) -> None:
    try:
        source = opened(
            "cifar10", ROOT / "cifar10", 32, {"kind": "crop", "padding": 4, "flip": True}
        )
    except DataError as error:
        pytest.skip(error.message)
    where = next((ROOT / "cifar10").glob("**/unpacked-*/**/train"), None)
    if where is None:
        pytest.skip("no unpacked files to load the usual way")
    fast = [ours(source, 200) for _ in range(3)]
    usual = [rate((y for _, y in torchvisions(where, 32, True)), 20) for _ in range(3)]
    told(table, "CIFAR-10, resident: crop and flip", fast, "ImageFolder, PIL, DataLoader", usual)


def test_photos(tmp_path: Path, table: Table) -> None:
    if not PHOTOS.is_file():
        pytest.skip(f"no photos: {PHOTOS} is absent")
    with tarfile.open(PHOTOS) as archive:
        archive.extractall(tmp_path / "raw", filter="data")
    files = sorted((tmp_path / "raw").rglob("*.JPEG"))
    for number, path in enumerate(files):
        for part in ("train", "val"):
            home = tmp_path / "tree" / part / f"class{number % 10}"
            home.mkdir(parents=True, exist_ok=True)
            (home / f"{number}{path.suffix}").symlink_to(path)
    crop = {"kind": "resized-crop", "flip": True}
    spec = load_spec("folder")
    prepare_cache(spec, tmp_path / "tree", tmp_path / "pixels", 256, lambda planned: True)
    from_files = opened("folder", tmp_path / "tree", 224, crop)
    from_pixels = opened("folder", tmp_path / "pixels", 224, crop)
    usual, files_rate, pixels_rate = [], [], []
    for _ in range(3):
        usual.append(rate((y for _, y in torchvisions(tmp_path / "tree" / "train", 224, False)), 6))
        files_rate.append(ours(from_files, 6))
        pixels_rate.append(ours(from_pixels, 6))
    told(table, "photos to 224, decoded", files_rate, "ImageFolder, PIL, DataLoader", usual)
    told(table, "photos to 224, prepared pixels", pixels_rate, "decoded", files_rate)
