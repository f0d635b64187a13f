"""Small trees of images that the tests write themselves."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from PIL import Image

MODES = ("RGB", "L", "P", "RGBA", "CMYK", "1")


def write_tree(root: Path, classes: int = 3, train: int = 20, val: int = 4) -> Path:
    """A class-per-folder tree of noisy images of many sizes and modes."""
    rng = random.Random(7)
    for split, count in (("train", train), ("val", val)):
        for label in range(classes):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                size = (rng.randint(40, 70), rng.randint(40, 70))
                image = Image.frombytes("RGB", size, rng.randbytes(3 * size[0] * size[1]))
                mode = MODES[number % len(MODES)]
                suffix = "jpg" if mode == "CMYK" else "png"
                image.convert(mode).save(folder / f"{number:03d}.{suffix}")
    return root


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "pictures")
