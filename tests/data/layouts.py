"""The same 300 images in each layout that is read."""

from __future__ import annotations

import io
import json
import random
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from . import imagenet_layouts

CLASSES = imagenet_layouts.CLASSES
COUNTS = {"train": 80, "val": 20}  # of each class


def folder(root: Path) -> Path:
    """A folder per class, with ImageNet's names; the images are noise of several sizes."""
    rng = random.Random(17)
    tested = [name for name in CLASSES for _ in range(COUNTS["val"])]
    rng.shuffle(tested)
    files = [f"train/{c}/{c}_{n}.JPEG" for c in CLASSES for n in range(1, COUNTS["train"] + 1)]
    files += [f"val/{c}/ILSVRC2012_val_{n:08d}.JPEG" for n, c in enumerate(tested, start=1)]
    for file in files:
        size = rng.randint(33, 44), rng.randint(33, 44)
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        image = Image.frombytes("RGB", size, rng.randbytes(3 * size[0] * size[1]))
        image.save(root / file, "JPEG", quality=80)
    return root


def images(tree: Path, split: str) -> Iterator[tuple[int, Path]]:
    """Labels and files of a split, in an order that is not the tree's."""
    files = [
        (label, path) for label, c in enumerate(CLASSES) for path in (tree / split / c).iterdir()
    ]
    random.Random(split).shuffle(files)
    yield from files


def archives(tree: Path, root: Path) -> Path:
    """A tar archive per split, of the class folders."""
    root.mkdir()
    for split in COUNTS:
        with tarfile.open(root / f"{split}.tar", "w") as tar:
            tar.add(tree / split, split)
    return root


def write_shard(path: Path, members: Iterable[tuple[str, bytes]], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **options) as tar:
        for name, raw in members:
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            tar.addfile(info, io.BytesIO(raw))
    return path


def pairs(
    files: Iterable[tuple[int, Path]], labels: Mapping[int, int] | None = None
) -> Iterator[tuple[str, bytes]]:
    """The members of a shard: image and label, and a field that is not read."""
    for label, path in files:
        number = labels[label] if labels else label
        yield f"{path.stem}.cls", f"{number}\n".encode()
        yield f"{path.stem}.jpeg", path.read_bytes()
        yield f"{path.stem}.json", json.dumps({"label": label}).encode()


def shards(
    tree: Path, root: Path, per_shard: int = 50, labels: Mapping[int, int] | None = None
) -> Path:
    root.mkdir()
    for split in COUNTS:
        files = list(images(tree, split))
        for number, start in enumerate(range(0, len(files), per_shard)):
            part = pairs(files[start : start + per_shard], labels)
            form = (tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)[number % 3]
            write_shard(root / f"trees-{split}-{number:06d}.tar", part, format=form)
    (root / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    return root


def table(files: Iterable[tuple[int, Path]], names: tuple[str, ...] = CLASSES) -> Any:
    """An arrow table as the library `datasets` writes it."""
    import pyarrow as pa

    rows = [({"bytes": path.read_bytes(), "path": path.name}, label) for label, path in files]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    schema = pa.schema([("image", kind), ("label", pa.int64())], metadata)
    columns = [
        pa.array([row[number] for row in rows], schema.field(number).type) for number in (0, 1)
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def parquet(tree: Path, root: Path, files: int = 2, **options: Any) -> Path:
    from pyarrow.parquet import write_table

    (root / "data").mkdir(parents=True)
    names = {"train": "train", "val": "validation"}
    for split in COUNTS:
        rows = list(images(tree, split))
        per_file = -(-len(rows) // files)
        for number in range(files):
            part = table(rows[number * per_file : (number + 1) * per_file])
            path = root / "data" / f"{names[split]}-{number:05d}-of-{files:05d}.parquet"
            write_table(part, path, row_group_size=25, **options)
    return root
