"""ImageNet as it is handed out: one folder of validation images, with a list of their labels."""

from __future__ import annotations

import shutil
import struct
import tarfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import scipy.io

from ofa_bench.data.check import check
from ofa_bench.data.discovery.datasets import load_spec
from ofa_bench.data.discovery.imagenet.matlab import class_names
from ofa_bench.data.discovery.layout import locate
from ofa_bench.data.open import read_collection
from ofa_bench.data.readers.image_set import cut
from ofa_bench.errors import DataError

from .imagenet_layouts import (
    CLASSES,
    devkit,
    flat,
    kaggle,
    labels,
    numbers,
    plain,
    write_devkit,
    write_meta,
)

SPEC = load_spec("imagenet").model_copy(
    update={"classes": None, "train_total": None, "test": None, "select": 6}
)
LIST = "ILSVRC2012_validation_ground_truth.txt"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain(tmp_path_factory.mktemp("imagenet") / "plain")


def hashes(folder: Path) -> dict[str, str]:
    collection = read_collection(SPEC, locate(SPEC, folder))
    return {name: split.hash() for name, split in cut(collection, SPEC, None).items()}


def refused(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        check(SPEC, folder)
    return f"{caught.value.message}\n{caught.value.hint}"


def devkit_with_map(tree: Path, root: Path) -> Path:
    devkit(tree, root)
    data = root / "ILSVRC2012_devkit_t12" / "data"
    (data / "meta.mat").unlink()
    rows = "".join(f"{name} {number} a_thing\n" for name, number in numbers(tree).items())
    (data / "map_clsloc.txt").write_text(rows)
    return root


def packed_devkit(tree: Path, root: Path) -> Path:
    write_devkit(tree, root.with_name("kit") / "ILSVRC2012_devkit_t12")
    with tarfile.open(flat(tree, root) / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as archive:
        archive.add(root.with_name("kit") / "ILSVRC2012_devkit_t12", "ILSVRC2012_devkit_t12")
    return root


def one_a_line(tree: Path, root: Path) -> Path:
    lines = "".join(f"{label}\n" for label in labels(tree).values())
    (flat(tree, root) / "imagenet_2012_validation_synset_labels.txt").write_text(lines)
    return root


def caffe(tree: Path, root: Path) -> Path:
    rows = [f"{name} {CLASSES.index(label)}\n" for name, label in reversed(labels(tree).items())]
    (flat(tree, root) / "val.txt").write_text("".join(rows))
    (root / "synset_words.txt").write_text("".join(f"{name} tench, fish\n" for name in CLASSES))
    return root


def names_and_classes(tree: Path, root: Path) -> Path:
    rows = "".join(f"val/{name} {label}\n" for name, label in labels(tree).items())
    (flat(tree, root, "validation") / "validation" / "val.txt").write_text(rows)
    return root


def tiny(tree: Path, root: Path) -> Path:
    """As Tiny-ImageNet: every class and all of val/ with a folder images/."""
    for name in CLASSES:
        shutil.copytree(tree / "train" / name, root / "train" / name / "images")
    flat(tree, root.with_name("flat"))
    shutil.copytree(root.with_name("flat") / "val", root / "val" / "images")
    rows = "".join(f"{name}\t{label}\t0\t0\t1\t1\n" for name, label in labels(tree).items())
    (root / "val" / "val_annotations.txt").write_text(rows)
    (root / "test" / "images").mkdir(parents=True)
    shutil.copy(next((root / "val" / "images").iterdir()), root / "test" / "images")
    return root


def validation(tree: Path, root: Path) -> Path:
    shutil.copytree(tree, root)
    (root / "val").rename(root / "validation")
    return root


def packed_validation(tree: Path, root: Path) -> Path:
    root.mkdir()
    for part, name in (("train", "train"), ("val", "validation")):
        with tarfile.open(root / f"{name}.tar.gz", "w:gz") as archive:
            archive.add(tree / part, name)
    return root


LAYOUTS = (devkit, devkit_with_map, packed_devkit, kaggle, one_a_line, caffe, names_and_classes,
           tiny, validation, packed_validation)  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_images_have_the_same_hashes(
    layout: Callable[[Path, Path], Path], tree: Path, tmp_path: Path
) -> None:
    assert hashes(layout(tree, tmp_path / "data")) == hashes(tree)


@pytest.mark.parametrize("level", [".", "ILSVRC", "ILSVRC/Data", "ILSVRC/Data/CLS-LOC"])
def test_kaggle_s_folder_at_any_level(level: str, tree: Path, tmp_path: Path) -> None:
    folder = kaggle(tree, tmp_path / "kaggle") / level
    report = check(SPEC, folder)
    assert report.images == {"train": 36, "test": 12} and report.ok
    assert "the labels of val/ are those of LOC_val_solution.csv" in report.notes
    assert any("val/ was used for the sealed test: test/ has none" in n for n in report.notes)


def test_kaggle_s_folder_beside_others(tree: Path, tmp_path: Path) -> None:
    kaggle(tree, tmp_path / "imagenet-object-localization-challenge")
    assert check(SPEC, tmp_path).images == {"train": 36, "test": 12}


def test_two_held_out_folders_are_a_note(tree: Path, tmp_path: Path) -> None:
    root = validation(tree, tmp_path / "data")
    shutil.copytree(tree / "val", root / "val")
    note = "val/ was used for the sealed test; validation/ was left alone"
    assert note in check(SPEC, root).notes


def test_an_unlabelled_test_is_not_the_sealed_test(tree: Path, tmp_path: Path) -> None:
    root = kaggle(tree, tmp_path / "kaggle") / "ILSVRC" / "Data" / "CLS-LOC"
    shutil.rmtree(root / "val")
    assert "test has 3 images but no class folders" in refused(root)


def test_a_missing_list_says_which_are_read(tree: Path, tmp_path: Path) -> None:
    text = refused(flat(tree, tmp_path / "data"))
    assert "val has 12 images but no class folders, and no list of their labels" in text
    assert "LOC_val_solution.csv" in text and "ILSVRC2012_devkit_t12/" in text


@pytest.mark.parametrize("change", [-1, 1])
def test_a_list_of_the_wrong_length(change: int, tree: Path, tmp_path: Path) -> None:
    root = devkit(tree, tmp_path / "data")
    path = root / "ILSVRC2012_devkit_t12" / "data" / LIST
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[: 12 + change], *["1"] * max(change, 0)]))
    assert f"{LIST} has {12 + change} labels, and there are 12 images" in refused(root)


def test_a_missing_image_is_not_a_shift_of_labels(tree: Path, tmp_path: Path) -> None:
    """Another image in its stead keeps the count, and would move all labels between them."""
    root = devkit(tree, tmp_path / "data")
    first = root / "val" / "ILSVRC2012_val_00000005.JPEG"
    first.rename(first.with_name("ILSVRC2012_val_00000013.JPEG"))
    assert "00000006.JPEG is image 5 of its folder but has another number" in refused(root)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{}.png", "val/2.png comes after 12.png: the names are not in the order"),
        ("{letter}.png", "val/a.png has no number that says which it is"),
        ("{letter}1.png", "val/b1.png comes after a1.png: the names are not in the order"),
    ],
)
def test_labels_in_order_need_names_in_order(
    pattern: str, message: str, tree: Path, tmp_path: Path
) -> None:
    root = one_a_line(tree, tmp_path / "data")
    for number, path in enumerate(sorted((root / "val").iterdir()), start=1):
        name = pattern.format(number, letter=chr(ord("a") + number - 1))
        path.rename(path.with_name(name))
    text = refused(root)
    assert message in text and "leading zeros" in text


def test_padded_numbers_are_an_order(tree: Path, tmp_path: Path) -> None:
    root = one_a_line(tree, tmp_path / "data")
    for number, path in enumerate(sorted((root / "val").iterdir())):
        path.rename(path.with_name(f"{10 * number:04d}.JPEG"))  # with gaps
    assert hashes(root) == hashes(tree)


def test_an_image_that_the_list_lacks(tree: Path, tmp_path: Path) -> None:
    root = kaggle(tree, tmp_path / "data")
    image = root / "ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000005.JPEG"
    image.rename(image.with_name("other.JPEG"))
    assert "LOC_val_solution.csv has no label for val/other.JPEG" in refused(root)


def test_a_label_that_is_no_class(tree: Path, tmp_path: Path) -> None:
    root = devkit(tree, tmp_path / "data")
    path = root / "ILSVRC2012_devkit_t12" / "data" / LIST
    path.write_text(path.read_text().replace("2", "4", 1))
    assert f"{LIST} has the label '4', which is no class" in refused(root)


def test_a_class_that_train_lacks(tree: Path, tmp_path: Path) -> None:
    root = devkit(tree, tmp_path / "data")
    shutil.rmtree(root / "train" / CLASSES[1])
    assert f"the class '{CLASSES[1]}', which is none of the 2 class folders" in refused(root)


def test_a_class_that_the_list_lacks(tree: Path, tmp_path: Path) -> None:
    root = one_a_line(tree, tmp_path / "data")
    shutil.copytree(root / "train" / CLASSES[0], root / "train" / "n09999999")
    assert "names no image of the class n09999999" in refused(root)


def test_two_labels_for_one_image(tree: Path, tmp_path: Path) -> None:
    root = kaggle(tree, tmp_path / "data")
    with (root / "LOC_val_solution.csv").open("a") as file:
        file.write("ILSVRC2012_val_00000001,n00000000 1 2 3 4\n")
    assert "gives 'ILSVRC2012_val_00000001' two labels" in refused(root)


def test_numbers_without_their_meaning(tree: Path, tmp_path: Path) -> None:
    root = devkit(tree, tmp_path / "data")
    (root / "ILSVRC2012_devkit_t12" / "data" / "meta.mat").unlink()
    text = refused(root)
    assert "neither meta.mat nor map_clsloc.txt" in text and "LOC_val_solution.csv" in text


def test_a_list_that_is_too_large(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                  ) -> None:  # fmt: skip
    monkeypatch.setenv("OFA_BENCH_LIMITS", "label-list-bytes=100")
    text = refused(kaggle(tree, tmp_path / "data"))
    assert "too many for a list of labels" in text and "--limit label-list-bytes=" in text


@pytest.mark.parametrize("compressed", [True, False])
def test_the_table_of_classes_is_read_as_scipy_reads_it(compressed: bool, tmp_path: Path) -> None:
    known = {name: number for number, name in enumerate(CLASSES[::-1], start=1)}
    write_meta(tmp_path / "meta.mat", known, compressed)
    read = class_names((tmp_path / "meta.mat").read_bytes())
    table = scipy.io.loadmat(tmp_path / "meta.mat", squeeze_me=True)["synsets"]
    assert read == {
        int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in table if not row["num_children"]
    }
    assert read == {number: name for name, number in known.items()}


def test_a_damaged_table_is_refused(tmp_path: Path) -> None:
    """Cut short anywhere, or with any byte changed: an answer or a ValueError, at once."""
    write_meta(tmp_path / "meta.mat", {"a": 1, "b": 2}, compressed=False)
    raw = (tmp_path / "meta.mat").read_bytes()
    for cut_at in range(0, len(raw) - 8, 61):
        with pytest.raises(ValueError):
            class_names(raw[:cut_at])
    for position in range(124, len(raw), 13):
        changed = bytearray(raw)
        changed[position] ^= 0xFF
        with suppress(ValueError):
            class_names(bytes(changed))


def test_a_table_that_unpacks_to_too_much(tree: Path, tmp_path: Path,
                                          monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("OFA_BENCH_LIMITS", "label-list-bytes=100000")
    root = devkit(tree, tmp_path / "data")
    path = root / "ILSVRC2012_devkit_t12" / "data" / "meta.mat"
    bomb = zlib.compress(bytes(5_000_000))
    path.write_bytes(path.read_bytes()[:128] + struct.pack("<II", 15, len(bomb)) + bomb)
    assert "it unpacks to more than 100,000 bytes" in refused(root)
