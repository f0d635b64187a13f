"""Layouts that are not read are known by name, and how to convert them is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from ofa_bench.data.check import check
from ofa_bench.data.discovery.datasets import load_spec
from ofa_bench.errors import DataError

SPEC = load_spec("imagenet")
CASES = {
    "TFRecord files": ("train-00000-of-01024", "train/train-00001-of-01024", "a.tfrecord",
                       "flowers-train.tfrecord-00000-of-00002", "x.tfrecords"),
    "an FFCV file": ("train_500_0.50_90.beton",),
    "an LMDB database": ("train_lmdb/data.mdb", "train.lmdb"),
    "Arrow files of `datasets.save_to_disk`": ("train/data-00000-of-00002.arrow",),
    "an HDF5 file": ("imagenet.h5", "train.HDF5"),
    "arrays of pixels": ("train_data_batch_1.npz", "val_data", "train_data_batch_10"),
    "MXNet RecordIO files": ("train.rec",),
    "shards of MosaicML's streaming": ("train/shard.00000.mds",),
    "an archive of ImageNet as image-net.org has it": ("ILSVRC2012_img_train.tar",),
    "an archive without train/ and val/": ("train.tar", "val.tar"),
    "a compressed archive without train/": ("train/n01440764.tar.gz",),
    "an archive of a kind that is not read": ("imagenet.zip", "ILSVRC.7z", "train.tar.zst"),
    "a list of labels that is not read": ("train.csv",),
}  # fmt: skip
EMPTY_TAR = bytes(10240)
FILES = [(kind, name) for kind, names in CASES.items() for name in names]


def refused(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        check(SPEC, folder)
    assert caught.value.exit_code == 2
    return caught.value.message


@pytest.mark.parametrize(("kind", "name"), FILES, ids=[name for _, name in FILES])
def test_each_is_known_by_its_name(kind: str, name: str, tmp_path: Path) -> None:
    for folder in ("train", "val") if name.startswith("train/") else ():
        (tmp_path / folder).mkdir()
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(EMPTY_TAR if name.endswith(".tar") else b"x")
    text = refused(tmp_path)
    assert f"{tmp_path / name} " in text and kind in text
    remedies = ("train/CLASS", "unpack it", "go back", "to_parquet", "data prepare")
    assert any(word in text for word in remedies)


def test_many_of_a_kind_are_one_sentence(tmp_path: Path) -> None:
    for number in range(1024):
        (tmp_path / f"train-{number:05d}-of-01024").write_bytes(b"")
    text = refused(tmp_path)
    assert text.count("TFRecord files") == 1 and "(and 1,023 more)" in text


@pytest.mark.parametrize("name", ["pictures.zip", "pictures.beton", "pictures.h5"])
def test_a_file_in_place_of_a_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match="is a file, not a folder") as caught:
        check(SPEC, tmp_path / name)
    assert any(word in caught.value.hint for word in ("unpack", "go back", "h5py"))


def test_kaggles_folder_is_named_from_above(tmp_path: Path) -> None:
    images = tmp_path / "ILSVRC" / "Data" / "CLS-LOC"
    images.mkdir(parents=True)
    (tmp_path / "LOC_val_solution.csv").write_text("ImageId,PredictionString\n")
    with pytest.raises(DataError, match="name it as --data-dir") as caught:
        check(load_spec("folder"), tmp_path)
    assert str(images) in caught.value.message and "not read" not in caught.value.message


def test_what_is_read_says_nothing_of_them(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    text = refused(tmp_path)
    assert "train/CLASS" not in text and "looked in" in text
