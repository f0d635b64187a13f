"""Batches are rebuilt from their address alone, by any source, worker count or order of asking."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from ofa_bench.data.discovery.datasets import load_spec
from ofa_bench.data.open import open_source
from ofa_bench.data.sources.batch import Address
from ofa_bench.data.sources.source import BatchSource

CPU = torch.device("cpu")
CROP = {"kind": "crop", "padding": 2, "flip": True}
RRC = {"kind": "resized-crop", "flip": True, "jitter": "torch", "erasing": 0.5}


def opened(name: str, folder: Path | None = None, **options: Any) -> BatchSource:
    asked: dict[str, Any] = {"resolution": 8, "augment": CROP, "select": None, "seed": 0}
    asked |= {"device": CPU, **options}
    return open_source(load_spec(name), folder, **asked)


def batch(source: BatchSource, *address: int) -> Any:
    return next(iter(source.batches([Address(*address)])))


def same(one: Any, other: Any) -> bool:
    return torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)


def test_an_address_is_all_a_batch_needs() -> None:
    source, again = opened("digits"), opened("digits")
    first = [*source.batches([Address(0, 0, 32), Address(1, 32, 64)])]
    assert same(first[1], batch(again, 1, 32, 64))
    assert same(first[0], batch(again, 0, 0, 32))
    assert not same(first[0], batch(again, 1, 0, 32))
    assert not same(first[0], batch(opened("digits", seed=1), 0, 0, 32))


def test_positions_cut_as_one_likes() -> None:
    source = opened("digits")
    whole = batch(source, 3, 0, 48)
    parts = [*source.batches([Address(3, 0, 20), Address(3, 20, 48)])]
    assert torch.equal(whole.images, torch.cat([part.images for part in parts]))


def test_digits_are_what_they_are() -> None:
    source = opened("digits")
    assert source.sizes == {"train": 1197, "select": 240, "test": 360}
    assert source.classes == 10
    images = batch(source, 0, 0, 4).images
    assert images.shape == (4, 3, 8, 8)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images[:, 0], images[:, 2])


def test_an_epoch_sees_every_image_once() -> None:
    source = opened("digits", augment={"kind": "none", "flip": False})
    seen = [tuple(i.flatten().tolist()) for b in [batch(source, 5, 0, 1197)] for i in b.images]
    other = [tuple(i.flatten().tolist()) for b in [batch(source, 6, 0, 1197)] for i in b.images]
    assert Counter(seen) == Counter(other)
    assert seen != other


@pytest.mark.parametrize("augment", [CROP, RRC])
def test_worker_counts_do_not_matter(tree: Path, augment: dict[str, Any]) -> None:
    options = {"resolution": 32, "augment": augment}
    addresses = [Address(0, 0, 8), Address(0, 8, 16), Address(1, 0, 8)]
    none = [*opened("folder", tree, workers=0, **options).batches(addresses)]
    two = [*opened("folder", tree, workers=2, **options).batches(addresses)]
    assert all(same(a, b) for a, b in zip(none, two, strict=True))
    assert none[0].images.shape == (8, 3, 32, 32)


def test_held_out_splits_stand_still(tree: Path) -> None:
    source = opened("folder", tree, resolution=32, augment=RRC)
    for split in ("select", "test"):
        one, other = ([*source.evaluation(split, 32, 4)] for _ in range(2))
        assert sum(len(b.labels) for b in one) == source.sizes[split]
        assert all(same(a, b) for a, b in zip(one, other, strict=True))
    one, other = ([*source.calibration(32)] for _ in range(2))
    assert all(same(a, b) for a, b in zip(one, other, strict=True))


def test_resolution_is_a_resize_of_the_same_batch() -> None:
    images = batch(opened("digits", resolution=16), 0, 0, 4)
    assert images.at(16) is images
    assert images.at(8).images.shape[-1] == 8
    assert images.at(8) is images.at(8)
