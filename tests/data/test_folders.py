"""What a folder of images is taken for, and what is said where it is not what was meant."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image

from ofa_bench.data.check import check
from ofa_bench.data.discovery.datasets import load_spec
from ofa_bench.data.open import open_source
from ofa_bench.data.sources.source import BatchSource
from ofa_bench.errors import DataError

FOLDER = load_spec("folder")


def picture(path: Path, grey: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), grey).save(path, "PNG")


def read(root: Path) -> BatchSource:
    """The folder as a run reads it."""
    cpu = torch.device("cpu")
    return open_source(FOLDER, root, resolution=8, augment={}, select=2, seed=0, device=cpu)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Classes a, b and c; four training images and one test image each, all different."""
    root, grey = tmp_path / "pictures", 0
    for split, count in (("train", 4), ("val", 1)):
        for label in ("a", "b", "c"):
            for number in range(count):
                grey += 1
                picture(root / split / label / f"{number}.png", grey)
    return root


def test_a_dangling_link_is_named(small: Path) -> None:
    """It would vanish, and the classes after it would move up."""
    for split in ("train", "val"):
        shutil.rmtree(small / split / "b")
        (small / split / "b").symlink_to("/nowhere/b")
    with pytest.raises(DataError, match=r"train/b is a link to /nowhere/b.*neither"):
        check(FOLDER, small)


@pytest.mark.parametrize("name", ["d", "a/x.png", "a/sub"])
def test_a_link_to_itself_is_named(small: Path, name: str) -> None:
    path = small / "train" / name
    path.symlink_to(path.name)
    with pytest.raises(DataError, match=f"train/{name} is a link to {path.name}.*neither"):
        check(FOLDER, small)


@pytest.mark.parametrize("name", ["d", "a/x.png", "a/x.txt"])
def test_an_entry_that_is_neither_folder_nor_file_is_named(small: Path, name: str) -> None:
    os.mkfifo(small / "train" / name)
    with pytest.raises(DataError, match=f"train/{name} is a named pipe"):
        check(FOLDER, small)


def test_a_link_to_a_device_is_named(small: Path) -> None:
    (small / "train" / "a" / "zero.png").symlink_to("/dev/zero")
    with pytest.raises(DataError, match=r"zero\.png is a device"):
        check(FOLDER, small)


def test_links_to_files_and_folders_are_followed(small: Path, tmp_path: Path) -> None:
    (small / "train" / "a").rename(tmp_path / "elsewhere")
    (small / "train" / "a").symlink_to(tmp_path / "elsewhere")
    (small / "train" / "b" / "again.png").symlink_to(small / "train" / "b" / "0.png")
    assert check(FOLDER, small).images == {"train": 13, "test": 3}


def test_suffixes_that_are_not_read_are_counted(small: Path) -> None:
    picture(small / "train" / "a" / "x.jfif", 99)
    for name in ("a/1.heic", "a/2.HEIC", "b/notes.txt", "c/README"):
        (small / "train" / name).write_bytes(b"x")
    (small / "train" / "list.csv").write_bytes(b"x")
    report = check(FOLDER, small)
    assert report.images["train"] == 13 and report.ok
    assert "files that are not read, by suffix: 2 .heic, 1 .txt, 1 no suffix" in report.notes
    assert "files beside the class folders, in no class: 1" in report.notes


def test_a_class_of_files_that_are_not_read_says_so(small: Path) -> None:
    for path in (small / "train" / "b").iterdir():
        path.rename(path.with_suffix(".heic"))
    with pytest.raises(DataError, match=r"train/b has no images.*4 \.heic") as caught:
        check(FOLDER, small)
    assert ".jfif" in caught.value.hint


def test_a_folder_with_an_image_suffix_is_a_folder(small: Path) -> None:
    picture(small / "train" / "a" / "more.png" / "1.png", 98)
    assert check(FOLDER, small).images["train"] == 13


@pytest.mark.parametrize("kind", ["unlabelled", "unlabelled below", "empty"])
def test_a_competition_s_test_folder_gives_way_to_val(small: Path, kind: str) -> None:
    inner = {"unlabelled": "1.jpg", "unlabelled below": "test/1.jpg", "empty": "."}[kind]
    (small / "test").mkdir()
    if kind != "empty":
        picture(small / "test" / inner, 97)
    report = check(FOLDER, small)
    assert report.images == {"train": 12, "test": 3}
    assert any(note.startswith("val/ was used for the sealed test") for note in report.notes)


def test_a_labelled_test_folder_comes_first(small: Path) -> None:
    shutil.copytree(small / "val", small / "test")
    assert "test/ was used for the sealed test; val/ was left alone" in check(FOLDER, small).notes


def test_one_class_is_no_task(small: Path) -> None:
    for split in ("train", "val"):
        for label in ("b", "c"):
            shutil.rmtree(small / split / label)
    with pytest.raises(DataError, match="one class folder, a: a classifier tells two"):
        check(FOLDER, small)


@pytest.mark.parametrize("name", ["Train", "TRAIN", "training"])
def test_another_spelling_is_named(small: Path, name: str) -> None:
    (small / "train").rename(small / name)
    with pytest.raises(DataError, match=f"{name} must be called train/: rename it"):
        check(FOLDER, small)


def test_another_spelling_of_val_is_named(small: Path) -> None:
    (small / "val").rename(small / "Validation")
    with pytest.raises(DataError, match="Validation must be called val/: rename it"):
        check(FOLDER, small)


def test_a_zip_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        archive.writestr("train/a/1.png", b"")
    with pytest.raises(DataError, match=r"pictures\.zip") as caught:
        check(FOLDER, tmp_path)
    assert "unpack" in caught.value.message + caught.value.hint
    with pytest.raises(DataError, match="is a file, not a folder") as caught:
        check(FOLDER, tmp_path / "pictures.zip")
    assert "unpack" in caught.value.hint


def test_check_and_run_agree_on_what_is_too_large(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is so by the bound when it is hashed, or by a smaller bound later."""
    Image.new("L", (40, 40)).save(small / "train" / "b" / "large.png")
    for bound in (1000, 100_000, 1500):
        monkeypatch.setenv("OFA_BENCH_LIMITS", f"image-pixels={bound}")
        report = check(FOLDER, small)
        if bound > 1600:
            assert report.ok and read(small).sizes["train"] == 11
            continue
        (broken,) = report.broken
        assert broken.file == "train/b/large.png"
        assert "too large: 1,600 pixels" in broken.reason
        assert "--limit image-pixels=" in broken.reason
        with pytest.raises(DataError, match=r"large\.png is too large: 1,600 pixels") as caught:
            read(small)
        assert "--limit image-pixels=" in caught.value.hint


def test_copies_in_both_parts_are_a_note(small: Path) -> None:
    shutil.copy(small / "train" / "a" / "0.png", small / "val" / "c" / "copy.png")
    assert check(FOLDER, small).copies["both"] == (("train/a/0.png", "val/c/copy.png"),)
    assert "test images that are training images too, byte by byte: 1 of 4" in read(small).notes
