"""ImageNet as it is handed out, with lists of labels and archives that somebody made to do harm."""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

from tests.data import imagenet_layouts
from tests.hostile.box import Box
from tests.hostile.corpus import Corpus
from tests.hostile.execution import Case
from tests.hostile.kinds.data import cut, tarred
from tests.hostile.spelling import garbled
from tests.hostile.values import WORDS

LAYOUTS = (imagenet_layouts.devkit, imagenet_layouts.kaggle)
LISTS = ("ILSVRC2012_validation_ground_truth.txt", "meta.mat", "LOC_val_solution.csv")
LINES = ("", "0", "-1", "1e9", "9" * 5000, "\0", "a,b,c", ",", "n01440764", "\x1b[31m", "../../x")


def labels(rng: random.Random, box: Box, corpus: Corpus) -> Case:
    """A flat folder whose list of labels, or whose table of classes, has other bytes."""
    tree = imagenet_layouts.plain(box.root / "plain")
    layout = rng.choice(LAYOUTS)
    folder = layout(tree, box.work / "data")
    if layout is imagenet_layouts.kaggle:
        (box.work / "images").symlink_to("data/ILSVRC/Data/CLS-LOC")
    else:
        (box.work / "images").symlink_to("data")
    lists = [path for path in folder.rglob("*") if path.name in LISTS]
    _change(rng, box, rng.choice(sorted(lists)))
    if rng.random() < 0.2:
        _change(rng, box, folder / "images" / rng.choice(["val.txt", "val/val_annotations.txt"]))
    check = ["data", "check", "folder", "--data-dir", "images"]
    return Case([[*check, *rng.choice([[], ["--json"]])]], memory=1536)


def _change(rng: random.Random, box: Box, path: Path) -> None:
    """Other bytes, other lines, or something that is no file."""
    way = rng.random()
    if not path.is_file():
        if path.parent.is_dir():
            path.write_text(rng.choice(WORDS), errors="surrogateescape")
    elif way < 0.5 or path.name == "meta.mat":
        path.write_bytes(garbled(rng, path.read_bytes()))
    elif way < 0.9:
        lines = path.read_text().splitlines()
        at = rng.randrange(len(lines))
        lines[at : at + rng.choice([0, 1])] = [rng.choice([*LINES, *WORDS[:40]])]
        path.write_text("\n".join(lines), errors="surrogateescape")
    else:
        path.unlink()
        path.symlink_to(rng.choice(["/dev/zero", path.name, str(box.canary / "x"), "/"]))


def class_archives(rng: random.Random, box: Box, corpus: Corpus) -> Case:
    """Archives of archives to be unpacked, and archives of classes to be read where they are."""
    tree = imagenet_layouts.plain(box.root / "plain")
    source = box.work / "source"
    source.mkdir()
    imagenet_layouts.write_devkit(tree, source / "ILSVRC2012_devkit_t12")
    outer, val = io.BytesIO(), io.BytesIO()
    chosen = rng.choice(imagenet_layouts.CLASSES)
    with tarfile.open(fileobj=outer, mode="w") as archive:
        for folder in sorted((tree / "train").iterdir()):
            raw = _archive(folder)
            if folder.name == chosen and rng.random() < 0.7:
                raw = (
                    rng.choice([cut, garbled])(rng, raw)
                    if rng.random() < 0.5
                    else tarred(rng, box, corpus)
                )
            name = folder.name if rng.random() < 0.95 else rng.choice(WORDS).replace("\0", "")
            member = tarfile.TarInfo(f"{name or 'x'}.tar")
            member.size = len(raw)
            archive.addfile(member, io.BytesIO(raw))
    with tarfile.open(fileobj=val, mode="w") as archive:
        for path in sorted((tree / "val").glob("*/*"), key=lambda path: path.name):
            archive.add(path, path.name)
    archives = {"train": outer.getvalue(), "val": val.getvalue()}
    if rng.random() < 0.4:
        part = rng.choice(["train", "val"])
        archives[part] = rng.choice([cut, garbled])(rng, archives[part])
    for part, raw in archives.items():
        (source / f"ILSVRC2012_img_{part}.tar").write_bytes(raw)
    _classes_in_place(rng, box, corpus, tree)
    unpack = ["data", "prepare", "imagenet", "--from", "source", "--to", "to", "--yes"]
    check = ["data", "check", "folder", "--data-dir"]
    return Case([unpack, [*check, "to"], [*check, "classes"]], memory=1536)


def _classes_in_place(rng: random.Random, box: Box, corpus: Corpus, tree: Path) -> None:
    """train/CLASS.tar and val/CLASS.tar, one of which is another."""
    root = imagenet_layouts.class_tars(tree, box.work / "classes")
    path = rng.choice(sorted(root.rglob("*.tar")))
    raw = path.read_bytes()
    way = rng.choice([lambda: cut(rng, raw), lambda: garbled(rng, raw)])
    path.write_bytes(way() if rng.random() < 0.6 else tarred(rng, box, corpus))


def _archive(folder: Path) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, path.name)
    return raw.getvalue()


KINDS: dict[str, Callable[[random.Random, Box, Corpus], Case]] = {
    "labels": labels,
    "class-archives": class_archives,
}
