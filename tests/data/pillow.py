"""Training images written again on Pillow and numpy alone: what the official loaders would give.

Operations and numbers are those of the once-for-all, CompOFA and DepS loaders and of AutoAugment's
paper (arXiv 1805.09501, table 9), not taken from this project. Only the random numbers are shared:
a sample's generator is seeded by its address, and drawn from in the order of the operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps
from PIL.Image import Image as Picture

Pixels = np.ndarray
POLICY = """
Posterize .4 8, Rotate .6 9
Solarize .6 5, AutoContrast .6 5
Equalize .8 8, Equalize .6 3
Posterize .6 7, Posterize .6 6
Equalize .4 7, Solarize .2 4
Equalize .4 4, Rotate .8 8
Solarize .6 3, Equalize .6 7
Posterize .8 5, Equalize 1 2
Rotate .2 3, Solarize .6 8
Equalize .6 8, Posterize .4 6
Rotate .8 8, Color .4 0
Rotate .4 9, Equalize .6 2
Equalize 0 7, Equalize .8 8
Invert .6 4, Equalize 1 8
Color .6 4, Contrast 1 8
Rotate .8 8, Color 1 2
Color .8 8, Solarize .8 7
Sharpness .4 7, Invert .6 8
ShearX .6 5, Equalize 1 9
Color .4 0, Equalize .6 3
Equalize .4 7, Solarize .2 4
Solarize .6 5, AutoContrast .6 5
Invert .6 4, Equalize 1 8
Color .6 4, Contrast 1 8
Equalize .8 8, Equalize .6 3
"""
SIGNED = {"Rotate", "Color", "Contrast", "Sharpness", "ShearX"}
JITTERS = {"tf": (32 / 255, 0.0, 0.5, 0.0), "torch": (0.4, 0.4, 0.4, 0.1)}
BILINEAR = Image.Resampling.BILINEAR


class Numbers:
    """The random numbers of one sample."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def uniform(self, low: float, high: float) -> float:
        return float(torch.empty(1).uniform_(low, high, generator=self.generator))

    def ratio(self, low: float, high: float) -> float:
        ends = torch.log(torch.tensor((low, high))).tolist()
        return float(torch.exp(torch.empty(1).uniform_(*ends, generator=self.generator)))

    def below(self, stop: int) -> int:
        return int(torch.randint(0, stop, (1,), generator=self.generator))

    def chance(self) -> float:
        return float(torch.rand(1, generator=self.generator))

    def order(self, count: int) -> list[int]:
        return torch.randperm(count, generator=self.generator).tolist()


def resized_crop(image: Picture, side: int, numbers: Numbers) -> Picture:
    """RandomResizedCrop: 8 to 100 % of the area, ratios 3/4 to 4/3, bilinear."""
    width, height = image.size
    for _ in range(10):
        area = width * height * numbers.uniform(0.08, 1.0)
        ratio = numbers.ratio(3 / 4, 4 / 3)
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            top, left = numbers.below(height - h + 1), numbers.below(width - w + 1)
            return image.crop((left, top, left + w, top + h)).resize((side, side), BILINEAR)
    raise AssertionError("the test's images are never so long that ten tries fail")


def centre(image: Picture, short: int, side: int) -> Picture:
    """Resize to a short side, bilinear, then the centre."""
    width, height = image.size
    if width <= height:
        size = (short, int(short * height / width))
    else:
        size = (int(short * width / height), short)
    sized = image.resize(size, BILINEAR) if size != image.size else image
    top, left = round((size[1] - side) / 2), round((size[0] - side) / 2)
    return sized.crop((left, top, left + side, top + side))


def reflected_crop(image: Picture, padding: int, down: int, right: int) -> Picture:
    """A border of reflection, then a crop of the old size."""
    array = np.asarray(image)
    wide = np.pad(array, ((padding, padding), (padding, padding), (0, 0)), "reflect")
    top, left = padding + down, padding + right
    return Image.fromarray(wide[top : top + array.shape[0], left : left + array.shape[1]])


def autoaugment(image: Picture, numbers: Numbers) -> Picture:
    """AutoAugment's ImageNet policy: bilinear, and black where nothing is."""
    rows = [line.split(", ") for line in POLICY.strip().splitlines()]
    for step in rows[numbers.below(len(rows))]:
        name, probability, level = step.split()
        if numbers.chance() <= float(probability):
            sign = -1 if name in SIGNED and numbers.chance() <= 0.5 else 1
            image = EDITS[name](image, int(level) / 9, sign)
    return image


def single(value: float) -> float:
    """A magnitude in single precision, in which the official code holds them."""
    return float(np.float32(value))


Edit = Callable[[Picture, float, int], Picture]
EDITS: dict[str, Edit] = {
    "Posterize": lambda image, level, sign: ImageOps.posterize(image, round(8 - 4 * level)),
    "Rotate": lambda image, level, sign: image.rotate(
        sign * single(30 * level), BILINEAR, fillcolor=0
    ),
    "Solarize": lambda image, level, sign: ImageOps.solarize(image, 255 * single(1 - level)),
    "AutoContrast": lambda image, level, sign: ImageOps.autocontrast(image),
    "Equalize": lambda image, level, sign: ImageOps.equalize(image),
    "Invert": lambda image, level, sign: ImageOps.invert(image),
    "Color": lambda image, level, sign: ImageEnhance.Color(image).enhance(
        1 + sign * single(0.9 * level)
    ),
    "Contrast": lambda image, level, sign: ImageEnhance.Contrast(image).enhance(
        1 + sign * single(0.9 * level)
    ),
    "Sharpness": lambda image, level, sign: ImageEnhance.Sharpness(image).enhance(
        1 + sign * single(0.9 * level)
    ),
    "ShearX": lambda image, level, sign: image.transform(
        image.size,
        Image.Transform.AFFINE,
        # The shear reaches Pillow by way of an angle.
        (
            1,
            math.tan(math.radians(math.degrees(math.atan(sign * single(0.3 * level))))),
            0,
            0,
            1,
            0,
        ),
        BILINEAR,
        fillcolor=0,
    ),
}


def jitter(image: Picture, name: str, numbers: Numbers) -> Picture:
    """ColorJitter: brightness, contrast, saturation and hue in a random order."""
    order = numbers.order(4)
    brightness, contrast, saturation, hue = JITTERS[name]
    factors = [
        numbers.uniform(1 - reach, 1 + reach) if reach else None
        for reach in (brightness, contrast, saturation)
    ]
    turn = numbers.uniform(-hue, hue) if hue else None
    kinds = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    for number in order:
        if number == 3 and turn is not None:
            h, s, v = (np.array(part) for part in image.convert("HSV").split())
            h = (h.astype(np.int64) + int(turn * 255)) % 256
            parts = [Image.fromarray(part.astype(np.uint8)) for part in (h, s, v)]
            image = Image.merge("HSV", parts).convert("RGB")
        elif number < 3 and factors[number] is not None:
            image = kinds[number](image).enhance(factors[number])
    return image


def erased(pixels: Pixels, probability: float, mean: tuple[float, ...], numbers: Numbers) -> Pixels:
    """RandomErasing: 2 to 33 % of the area, ratios 0.3 to 3.3; 0 once the mean is subtracted."""
    if numbers.chance() >= probability:
        return pixels
    height, width = pixels.shape[:2]
    for _ in range(10):
        area = height * width * numbers.uniform(0.02, 0.33)
        ratio = numbers.ratio(0.3, 3.3)
        h, w = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if h < height and w < width:
            top, left = numbers.below(height - h + 1), numbers.below(width - w + 1)
            pixels = pixels.copy()
            pixels[top : top + h, left : left + w] = [255 * part for part in mean]
            return pixels
    return pixels
