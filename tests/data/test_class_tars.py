"""An archive a class: what is wrong with one is named."""

from __future__ import annotations

import io
import shutil
import tarfile
import time
from pathlib import Path

import pytest

from ofa_bench.data.check import check
from ofa_bench.data.discovery import file_hashes
from ofa_bench.data.discovery.datasets import load_spec
from ofa_bench.data.discovery.layout import locate
from ofa_bench.data.discovery.manifest_table import read_table, write_table
from ofa_bench.data.open import read_collection
from ofa_bench.errors import DataError

from .imagenet_layouts import CLASSES, class_tars, class_tars_and_folders, plain

SPEC = load_spec("folder")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain(tmp_path_factory.mktemp("imagenet") / "plain")


@pytest.fixture
def data(tree: Path, tmp_path: Path) -> Path:
    return class_tars(tree, tmp_path / "data")


def refused(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        check(SPEC, folder)
    assert caught.value.hint
    return caught.value.message


def write(path: Path, members: dict[str, bytes], mode: str = "w") -> None:
    with tarfile.open(path, mode) as archive:
        for name, raw in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(raw)
            archive.addfile(member, io.BytesIO(raw))


def test_a_truncated_one(data: Path) -> None:
    path = data / "train" / f"{CLASSES[1]}.tar"
    path.write_bytes(path.read_bytes()[:3000])
    assert f"{CLASSES[1]}.tar cannot be read: it is damaged or cut short" in refused(data)


def test_a_compressed_one(data: Path) -> None:
    write(data / "train" / f"{CLASSES[1]}.tar", {"a.jpg": b"x"}, "w:gz")
    assert f"{CLASSES[1]}.tar is compressed" in refused(data)


def test_an_empty_one(data: Path) -> None:
    write(data / "train" / f"{CLASSES[1]}.tar", {"notes.txt": b"x"})
    assert f"{CLASSES[1]}.tar has no images in it" in refused(data)


def test_a_name_that_comes_twice(data: Path, tree: Path) -> None:
    image = next((tree / "train" / CLASSES[1]).iterdir())
    with tarfile.open(data / "train" / f"{CLASSES[1]}.tar", "a") as archive:
        archive.add(image, image.name)
    assert f"{image.name}' comes twice" in refused(data)


def test_archives_of_class_folders_are_not_classes(data: Path) -> None:
    """Two halves of a data set are not two classes."""
    for part in ("train", "val"):
        shutil.rmtree(data / part)
        (data / part).mkdir()
        for number in range(2):
            names = [f"{name}/{number}{n}.jpg" for name in "abc" for n in range(3)]
            write(data / part / f"half{number}.tar", dict.fromkeys(names, b"x"))
    assert "has 3 folders of images in it: it is no archive of one class" in refused(data)


def test_a_class_that_val_lacks(data: Path) -> None:
    (data / "val" / f"{CLASSES[2]}.tar").unlink()
    assert f"an archive of the class {CLASSES[2]} in train/ but not in val/" in refused(data)


def test_a_folder_that_val_lacks(tree: Path, tmp_path: Path) -> None:
    root = class_tars_and_folders(tree, tmp_path / "data")
    shutil.rmtree(root / "validation" / CLASSES[2])
    assert f"the class {CLASSES[2]} in train/ but not in validation/" in refused(root)


def test_an_archive_that_changes_is_read_anew(data: Path) -> None:
    assert check(SPEC, data).images == {"train": 36, "test": 12}
    path = data / "train" / f"{CLASSES[0]}.tar"
    with tarfile.open(path) as archive:
        first = archive.getmembers()[0]
    raw = bytearray(path.read_bytes())
    raw[first.offset_data + first.size // 2] ^= 0xFF
    path.write_bytes(raw)
    assert check(SPEC, data).images == {"train": 36, "test": 12}  # its hash is another one
    (data / "train" / f"{CLASSES[0]}.tar").unlink()
    (data / "val" / f"{CLASSES[0]}.tar").unlink()
    assert check(SPEC, data).images == {"train": 24, "test": 8}


def test_one_class_is_no_task(data: Path) -> None:
    for part in ("train", "val"):
        for name in CLASSES[1:]:
            (data / part / f"{name}.tar").unlink()
    assert "has 1 archives of classes" in refused(data)


@pytest.mark.parametrize("label", ["json", "txt"])
def test_a_shard_with_other_labels_is_no_class(label: str, data: Path) -> None:
    """Equally named shards in train/ and val/ would be classes otherwise."""
    for part in ("train", "val"):
        for path in (data / part).iterdir():
            path.unlink()
        for number in range(2):
            names = [f"{number}{n}.{end}" for n in range(3) for end in (label, "png")]
            write(data / part / f"{number:05d}.tar", dict.fromkeys(names, b"1"))
    assert "this is a shard whose labels are not KEY.cls" in refused(data)


def test_notes_beside_the_images_are_left_alone(data: Path) -> None:
    with tarfile.open(data / "train" / f"{CLASSES[0]}.tar", "a") as archive:
        for name in ("README.txt", ".note"):
            archive.addfile(tarfile.TarInfo(name))
    assert check(SPEC, data).images == {"train": 36, "test": 12}


@pytest.mark.parametrize("ending", [".tar.gz", ".tgz", ".tar.xz", ".tar.bz2"])
def test_a_class_that_is_compressed_is_not_left_out(ending: str, data: Path) -> None:
    for part in ("train", "val"):
        path = data / part / f"{CLASSES[1]}.tar"
        path.rename(path.with_name(CLASSES[1] + ending))
    text = refused(data)
    assert f"{CLASSES[1]}{ending}" in text and "all must end in .tar" in text


def test_images_that_are_as_new_as_their_hashes_are_read(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_hashes, "TICK", 10**18)  # all files count as just written
    root = class_tars_and_folders(tree, tmp_path / "data")
    test = read_collection(SPEC, locate(SPEC, root)).test.images
    assert all(len(test.raw(row)) == test.size(row) > 0 for row in range(len(test)))


def test_deep_gets_past_a_wrong_kept_hash(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = class_tars_and_folders(tree, tmp_path / "data")
    time.sleep(0.1)  # younger files are hashed anew
    assert check(SPEC, root).ok
    kept = locate(SPEC, root).hashes
    table = read_table(kept, root)
    assert table is not None
    rows = table.writable()
    rows.digests[3] += 1
    write_table(kept, root, rows)
    assert "holds other bytes than when it was hashed" in refused(root)
    report = check(SPEC, root, deep=True)
    assert not report.ok and rows.names[3] in report.broken[0].reason
    assert check(SPEC, root, deep=True).ok and check(SPEC, root).ok
