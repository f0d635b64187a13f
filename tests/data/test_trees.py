"""Trees, archives and what is wrong with them."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch

from ofa_bench.data.check import check
from ofa_bench.data.discovery.datasets import load_spec
from ofa_bench.data.discovery.layout import locate
from ofa_bench.data.open import open_source, read_collection
from ofa_bench.data.readers.image_set import cut
from ofa_bench.data.sources.batch import Address
from ofa_bench.data.sources.source import BatchSource
from ofa_bench.errors import DataError

from .conftest import write_tree

HERE = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("OFA_BENCH_DATA") or HERE.parent / "shared" / "data")


def opened(name: str, folder: Path, **options: Any) -> BatchSource:
    asked: dict[str, Any] = {"resolution": 32, "augment": {"kind": "none"}, "select": None}
    asked |= {"seed": 0, "device": torch.device("cpu"), "workers": 0, **options}
    return open_source(load_spec(name), folder, **asked)


def test_splits_are_stratified(tree: Path) -> None:
    source = opened("folder", tree, select=0.25)
    assert source.sizes == {"train": 45, "select": 15, "test": 12}
    labels = torch.cat([b.labels for b in source.evaluation("select", 32, 8)])
    assert labels.bincount().tolist() == [5, 5, 5]


def test_copies_stay_on_one_side(tree: Path) -> None:
    folder = tree / "train" / "class0"
    for number in range(5):
        shutil.copy(folder / "000.png", folder / f"copy{number}.png")
    plain, copied = opened("folder", tree, select=0.3), tree / "train" / "class0" / "000.png"
    held = [image for b in plain.evaluation("select", 32, 64) for image in b.images]
    alike = sum(torch.equal(a, b) for a in held for b in held) - len(held)
    assert copied.is_file()
    assert alike in (0, 30)  # six copies, all of them here or none


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_image_is_named(tree: Path, workers: int) -> None:
    broken = tree / "train" / "class1" / "003.png"
    broken.write_bytes(broken.read_bytes()[:200])

    def read_all() -> None:
        source = opened("folder", tree, select=2, workers=workers)
        for split in ("select", "test"):
            list(source.evaluation(split, 32, 64))
        list(source.batches([Address(0, 0, source.sizes["train"])]))

    with pytest.raises(DataError, match=r"003\.png"):
        read_all()


def test_check_finds_all_broken_images(tree: Path) -> None:
    wanted = {"train/class1/003.png", "val/class2/001.png"}
    for name in wanted:
        (tree / name).write_bytes((tree / name).read_bytes()[:150])
    report = check(load_spec("folder"), tree)
    assert not report.ok
    assert {Path(b.file).name for b in report.broken} == {Path(n).name for n in wanted}


def test_an_empty_class_is_named(tree: Path) -> None:
    for path in (tree / "train" / "class2").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="class2"):
        opened("folder", tree)


def test_a_missing_half_is_named(tree: Path) -> None:
    shutil.rmtree(tree / "val")
    with pytest.raises(DataError, match="neither val/ nor test/"):
        opened("folder", tree)


def test_the_wrong_number_of_classes_is_refused(tree: Path) -> None:
    with pytest.raises(DataError, match="3 class folders"):
        opened("imagenet100", tree)


def test_absent_data_say_where_was_looked(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="looked in") as caught:
        opened("cifar10", tmp_path)
    assert str(tmp_path) in caught.value.message
    assert "--data-dir" in caught.value.hint


def test_archives_are_unpacked_once_and_read(tmp_path: Path) -> None:
    tree, packed = write_tree(tmp_path / "tree"), tmp_path / "folder"
    packed.mkdir()
    for split in ("train", "val"):
        with tarfile.open(packed / f"some_{split}.tar.gz", "w:gz") as archive:
            archive.add(tree / split, split)
    first = opened("folder", packed)
    stamps = {path: path.stat().st_mtime_ns for path in packed.rglob("*.png")}
    assert opened("folder", packed).hash == first.hash
    assert stamps == {path: path.stat().st_mtime_ns for path in packed.rglob("*.png")}
    assert first.hash == opened("folder", tree).hash


@pytest.mark.skipif(not (REAL / "cifar10").is_dir(), reason="no CIFAR-10 here")
def test_cifar10_as_archives(tmp_path: Path) -> None:
    spec = load_spec("cifar10")
    collection = read_collection(spec, locate(spec, REAL, None))
    splits = cut(collection, spec, None)
    sizes = {name: len(split) for name, split in splits.items()}
    assert sizes == {"train": 45000, "select": 5000, "test": 10000}
    for name, split in splits.items():
        counts = split.labels.bincount()
        assert counts.tolist() == [sizes[name] // 10] * 10
