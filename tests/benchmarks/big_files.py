"""What an image costs by the file it lies in, and how long ImageNet in shards takes to be listed.

    python -m tests.benchmarks.big_files [--images 1500] [--reads 400]

The images are noise of ImageNet's mean size in bytes, in folders, shards and parquet files with and
without compression. Each is read in random order, as training does; nothing is decoded. Processor
time is of this process, and bytes are what it asked the system for, so that neither depends on what
else the machine does. ImageNet's listing is of kept tables of 1,331 files, without the images.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from ofa_bench.data.discovery.datasets import load_spec
from ofa_bench.data.discovery.layout import locate
from ofa_bench.data.discovery.packed import samples
from ofa_bench.data.discovery.packed.listing import INDEX_FOLDER, PackedSet, list_packed
from ofa_bench.data.open import read_collection
from ofa_bench.data.readers.image_set import Collection, ImageSet, cut
from ofa_bench.data.readers.images import EncodedImages
from ofa_bench.data.readers.pack import prepare_shards
from ofa_bench.data.readers.packed import PackedImages
from tests.data import layouts

from .timing import machine

SPEC, IMAGENET = load_spec("folder"), load_spec("imagenet")
SIZE = (420, 330)  # of noise that takes about 110 kB as JPEG
SHARD_IMAGES = 1000
T = TypeVar("T")


def folder(root: Path, count: int) -> Path:
    rng = np.random.default_rng(0)
    for number in range(count):
        split = "val" if number % 15 == 0 else "train"
        home = root / split / layouts.CLASSES[number // 15 % 3]
        home.mkdir(parents=True, exist_ok=True)
        small = rng.integers(0, 256, (SIZE[1] // 2, SIZE[0] // 2, 3), dtype=np.uint8)
        Image.fromarray(small).resize(SIZE).save(home / f"{number:06d}.jpg", quality=92)
    return root


def parquet(tree: Path, root: Path, group: int, compression: str) -> Path:
    from pyarrow.parquet import write_table

    (root / "data").mkdir(parents=True)
    for split in ("train", "val"):
        table = layouts.table(layouts.images(tree, split))
        path = root / "data" / f"{split}-00000-of-00001.parquet"
        write_table(table, path, row_group_size=group, compression=compression)
    return root


def asked_bytes() -> int:
    return int(Path("/proc/self/io").read_text().split()[1])


def measure(name: str, root: Path, reads: int) -> None:
    listed = []
    for _ in range(2):  # the second time from what was kept
        before, began = asked_bytes(), time.process_time()
        collection = read_collection(SPEC, locate(SPEC, root))
        listed.append((time.process_time() - began, (asked_bytes() - before) / 1e6))
    images = collection.train.images
    assert isinstance(images, EncodedImages)
    rows = random.Random(3).choices(range(len(images)), k=reads)
    size = sum(images.size(row) for row in rows)
    before, began, wall = asked_bytes(), time.process_time(), time.perf_counter()
    for row in rows:
        images.raw(row)
    spent, wall = time.process_time() - began, time.perf_counter() - wall
    ratio = (asked_bytes() - before) / size
    each = f"{1000 * spent / reads:7.2f} ms of processor, {1000 * wall / reads:7.2f} ms"
    first, again = (f"{seconds:.2f} s and {read:,.0f} MB" for seconds, read in listed)
    print(f"{name:34s} {each}, {ratio:6.1f} bytes read a byte", flush=True)
    print(f"{'':34s} listed first in {first}, again in {again}", flush=True)


def imagenet(root: Path) -> None:
    """The listing of ImageNet in shards of 1,000 images whose tables were kept before."""
    root.mkdir()
    names = "".join(f"n{number:08d}\n" for number in range(1000))
    (root / "classes.txt").write_text(names)
    counts = (("train", IMAGENET.train_total or 0), ("val", IMAGENET.test or 0))
    shards = {
        root / f"imagenet-{split}-{first:07d}.tar": range(first, min(first + SHARD_IMAGES, count))
        for split, count in counts
        for first in range(0, count, SHARD_IMAGES)
    }
    for shard in shards:
        layouts.write_shard(shard, [("0.cls", b"0"), ("0.jpg", b"")])
    home = locate(IMAGENET, root).hashes.with_name(INDEX_FOLDER)
    for shard, rows in shards.items():
        keep(home, shard, rows)
    kept = sum(path.stat().st_size for path in home.iterdir())
    print(f"ImageNet's kept tables: {kept / 1e6:.0f} MB")
    packed = report("list them", lambda: list_packed(locate(IMAGENET, root), IMAGENET))
    report("cut into splits, and hash these", lambda: hashes(packed))


def keep(home: Path, shard: Path, rows: range) -> None:
    """Keep a table of images that are not in the shard."""
    rng = random.Random(str(shard))
    table = samples.samples_of(
        [
            samples.PackedImage(
                b"%09d.jpg" % row, (512, 110_000), (0, 0), row % 1000, rng.randbytes(16), (500, 375)
            )
            for row in rows
        ]
    )
    purpose = f"shards {IMAGENET.classes}"
    samples._keep(*samples._kept_table(shard, home, purpose, samples.stamp(shard)), table)


def hashes(packed: PackedSet) -> dict[str, str]:
    parts = [
        ImageSet(PackedImages(part, IMAGENET, None), part.samples.labels, part.samples.hashes)
        for part in (packed.train, packed.test)
    ]
    splits = cut(Collection(packed.classes, *parts, packed.notes), IMAGENET, None)
    return {name: split.hash() for name, split in splits.items()}


def report(name: str, work: Callable[[], T]) -> T:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, wall = time.process_time(), time.perf_counter()
    result = work()
    spent, wall = time.process_time() - began, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{name}: {spent:.1f} s of processor, {wall:.1f} s, {(peak - before) / 1024:.0f} MB more")
    return result


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--reads", type=int, default=400)
    asked = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(home / "cache")
        imagenet(home / "imagenet")
        tree = folder(home / "tree", asked.images)
        measure("files in folders", tree, asked.reads)
        files = [path for path in tree.rglob("*.jpg") if path.is_file()]
        prepare_shards(SPEC, tree, home / "shards", 10**8, lambda planned: True)
        measure("shards", home / "shards", asked.reads)
        for group, compression in ((100, "none"), (100, "snappy"), (1000, "snappy")):
            root = parquet(tree, home / f"{compression}-{group}", group, compression)
            if compression != "none":  # as with data that is larger: one group stays in memory
                room = 1.2 * group * sum(path.stat().st_size for path in files) / asked.images
                os.environ["OFA_BENCH_LIMITS"] = f"parquet-group={room:.0f}"
            measure(f"parquet, {compression}, groups of {group}", root, asked.reads)


if __name__ == "__main__":
    main()
