"""A tree with the names and counts of ImageNet, of hard links to a few hundred small JPEG files.

A few images a class are files with bytes of their own, so that some can be held out; `distinct`
makes all of them so. Hard links share an inode, hence bytes and time stamps.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES, TRAIN, VAL = 1000, 1_281_167, 50_000
SOURCES = 300  # linked 4,400 times; ext4 allows 65,000 links
ALONE = 24  # files of their own in a class; ImageNet holds out ten
SIDES = ((160, 120), (120, 160), (144, 144), (128, 96))


def pictures() -> list[bytes]:
    """The bytes of so many JPEG images, 2 to 4 kB."""
    rng, images = np.random.default_rng(0), []
    for number in range(SOURCES):
        width, height = SIDES[number % len(SIDES)]
        coarse = rng.integers(256, size=(height // 8, width // 8, 3), dtype=np.uint8)
        raw = io.BytesIO()
        large = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        large.save(raw, "JPEG", quality=70)
        images.append(raw.getvalue())
    return images


def make(root: Path, train: int = TRAIN, val: int = VAL, distinct: bool = False) -> None:
    """Write the tree, with its sources in a hidden folder; an existing one is not touched."""
    images = pictures()
    kept = root / ".sources"
    kept.mkdir(parents=True)
    sources = [str(kept / f"{number}.jpg") for number in range(SOURCES)]
    for path, raw in zip(sources, images, strict=True):
        Path(path).write_bytes(raw)
    made = 0
    for folder, label, count in _folders(train, val):
        (root / folder).mkdir(parents=True)
        for number in range(count):
            path, picture = f"{root}/{folder}/{_name(folder, label, number)}", made % SOURCES
            if distinct or (number < ALONE and folder.startswith("train")):
                with open(path, "wb") as file:  # what follows the end of a JPEG is not decoded
                    file.write(images[picture] + made.to_bytes(8, "big"))
            else:
                os.link(sources[picture], path)
            made += 1


def _folders(train: int, val: int) -> Iterator[tuple[str, int, int]]:
    """Class folders with their label and number of images, which differ by one at most."""
    for part, total in (("train", train), ("val", val)):
        for label in range(CLASSES):
            count = total * (label + 1) // CLASSES - total * label // CLASSES
            yield f"{part}/n{label * 9973 + 1_440_764:08d}", label, count


def _name(folder: str, label: int, number: int) -> str:
    if folder.startswith("train"):
        return f"{folder.rpartition('/')[2]}_{number * 17 % 32749}.JPEG"
    return f"ILSVRC2012_val_{label * 50 + number:08d}.JPEG"
