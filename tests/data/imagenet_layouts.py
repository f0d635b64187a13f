"""A small ImageNet in the layouts in which it is handed out; each function makes one of a tree.

`plain` writes the tree: 3 classes, 12 training and 4 validation images each, under the names that
ImageNet gives them. The others take it and make the same images in another layout, and return the
folder for --data-dir.
"""

from __future__ import annotations

import random
import shutil
import tarfile
from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image

CLASSES = ("n01440764", "n02119789", "n03000684")
TRAIN, VAL = 12, 4


def plain(root: Path) -> Path:
    rng = random.Random(17)
    order = [name for name in CLASSES for _ in range(VAL)]
    rng.shuffle(order)
    files = [f"train/{name}/{name}_{n}.JPEG" for name in CLASSES for n in range(1, TRAIN + 1)]
    files += [f"val/{name}/ILSVRC2012_val_{n:08d}.JPEG" for n, name in enumerate(order, start=1)]
    for file in files:
        side = rng.choice([8, 9, 10])
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.frombytes("RGB", (side, 8), rng.randbytes(side * 8 * 3)).save(path, "JPEG")
    return root


def labels(tree: Path) -> dict[str, str]:
    """The class of each validation image, by name, in the order of names."""
    paths = sorted((tree / "val").glob("*/*"), key=lambda path: path.name)
    return {path.name: path.parent.name for path in paths}


def flat(tree: Path, root: Path, part: str = "val") -> Path:
    """The validation images in one folder, without labels."""
    shutil.copytree(tree / "train", root / "train")
    (root / part).mkdir()
    for path in (tree / "val").glob("*/*"):
        shutil.copy(path, root / part)
    return root


def devkit(tree: Path, root: Path) -> Path:
    """Flat, with the development kit beside it."""
    write_devkit(tree, flat(tree, root) / "ILSVRC2012_devkit_t12")
    return root


def class_tars(tree: Path, root: Path, parts: tuple[str, ...] = ("train", "val")) -> Path:
    """An archive a class, in some parts; the other parts are left out."""
    for part in parts:
        (root / part).mkdir(parents=True)
        for folder in (tree / part).iterdir():
            with tarfile.open(root / part / f"{folder.name}.tar", "w") as archive:
                for path in folder.iterdir():
                    archive.add(path, path.name)
    return root


def class_tars_and_folders(tree: Path, root: Path) -> Path:
    shutil.copytree(tree / "val", class_tars(tree, root, ("train",)) / "validation")
    return root


def class_tars_and_devkit(tree: Path, root: Path) -> Path:
    devkit(tree, root)
    shutil.rmtree(root / "train")
    return class_tars(tree, root, ("train",))


def write_devkit(tree: Path, home: Path) -> None:
    (home / "data").mkdir(parents=True)
    known = numbers(tree)
    lines = [f"{known[name]}\n" for name in labels(tree).values()]
    (home / "data" / "ILSVRC2012_validation_ground_truth.txt").write_text("".join(lines))
    write_meta(home / "data" / "meta.mat", known)


def numbers(tree: Path) -> dict[str, int]:
    """The devkit's ids of the classes, which are in another order than the names."""
    names = sorted(path.name for path in (tree / "train").iterdir())
    return {name: number for number, name in enumerate([*names[1:], names[0]], start=1)}


def write_meta(path: Path, known: dict[str, int], compressed: bool = True) -> None:
    """meta.mat as the devkit has it: classes, and above them groups with higher ids."""
    fields = ["ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children"]
    fields += ["wordnet_height", "num_train_images"]
    table = np.zeros((len(known) + 1, 1), dtype=[(name, "O") for name in fields])
    for row, (name, number) in enumerate(known.items()):
        table[row, 0] = (number, name, "a, b", "what it is", 0, np.zeros((1, 0)), 0, 1300)
    table[-1, 0] = (len(known) + 1, "n00001740", "thing", "all", 3, np.array([1, 2, 3]), 1, 0)
    scipy.io.savemat(path, {"version": 1.0, "synsets": table}, do_compression=compressed)


def kaggle(tree: Path, root: Path) -> Path:
    """As the competition's archive unpacks; test/ has no labels. The folder is the uppermost."""
    images = root / "ILSVRC" / "Data" / "CLS-LOC"
    flat(tree, images)
    (images / "test").mkdir()
    for number in range(1, 4):
        shutil.copy(next((tree / "train").glob("*/*")),
                    images / "test" / f"ILSVRC2012_test_{number:08d}.JPEG")  # fmt: skip
    rows = [f"{Path(name).stem},{label} 1 2 3 4 {label} 5 6 7 8 \n"
            for name, label in labels(tree).items()]  # fmt: skip
    random.Random(1).shuffle(rows)
    text = "ImageId,PredictionString\n" + "".join(rows)
    (root / "LOC_val_solution.csv").write_text(text)
    return root
