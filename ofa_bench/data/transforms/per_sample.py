"""Transforms of single images for the streamed source, with randomness by position.

Crops and resizes are bilinear and antialiased, as Pillow's are. AutoAugment runs on Pillow images,
as in the DepS code: torchvision's own rotation of tensors blends the edges with black.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as edit

from ofa_bench.data.discovery.datasets import Channels
from ofa_bench.data.transforms.augment import crop_and_flip
from ofa_bench.data.transforms.colour import BOX, FACTORS, NOTHING, ORDER
from ofa_bench.recipe.models import Augment
from ofa_bench.seeding import key

JITTER: dict[str, dict[str, float]] = {
    "tf": {"brightness": 32 / 255, "saturation": 0.5},
    "torch": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1},
}
"""Colour jitter of the OFA code family, by its names for `distort_color`."""


class Plain:
    """Evaluation: resize and crop the centre.

    With a random-resized crop in training the short side goes to ceil(R / 0.875) first, as in the
    OFA code family; otherwise to R itself.
    """

    numbers: Sequence[float] = ()

    def __init__(self, augment: Augment, resolution: int) -> None:
        zoomed = augment.kind == "resized-crop"
        self.short = math.ceil(resolution / 0.875) if zoomed else resolution
        self.resolution = resolution

    def __call__(self, image: Tensor, epoch: int = 0, position: int = 0) -> Tensor:
        sized = edit.resize(image, [self.short], antialias=True)
        centre: Tensor = edit.center_crop(sized, [self.resolution, self.resolution])
        return centre


class Augmented:
    """Training: geometry, flip, AutoAugment, colour jitter, erasing (to the set's mean colour).

    `deferred`: jitter and erasing draw their numbers as ever, which stand in `numbers` after a
    call, but leave the image as it is; `colour.coloured` does them for a whole batch.
    """

    def __init__(
        self,
        augment: Augment,
        resolution: int,
        seed: int,
        mean: Channels,
        *,
        deferred: bool = False,
    ) -> None:
        self.seed, self.border, self.flip = seed, augment.border, augment.flip
        self.crop = v2.RandomResizedCrop(resolution, (0.08, 1.0), (3 / 4, 4 / 3), antialias=True)
        self.zoomed = augment.kind == "resized-crop"
        self.fit = Plain(augment, resolution)
        self.deferred, self.numbers = deferred, list[float]()
        steps = _drawn(augment, self.numbers) if deferred else _colour(augment, mean)
        self.colour = v2.Compose([v2.Identity(), *steps])

    def __call__(self, image: Tensor, epoch: int, position: int) -> Tensor:
        self.numbers[:] = NOTHING if self.deferred else ()
        with torch.random.fork_rng(devices=[]):
            # Not torch.manual_seed: that would seed the accelerators' generators as well.
            torch.default_generator.manual_seed(key("sample", self.seed, epoch, position))
            placed = self.crop(image) if self.zoomed else self.fit(image)
            coloured: Tensor = self.colour(self._moved(placed))
            return coloured

    def _moved(self, image: Tensor) -> Tensor:
        shifts = torch.randint(-self.border, self.border + 1, (2, 1))
        flip = torch.randint(0, 2, (1,)) * int(self.flip)
        if not self.border:
            return image.flip(-1) if flip else image
        pool = image.permute(1, 2, 0).contiguous().unsqueeze(0)
        moved = crop_and_flip(pool, torch.zeros(1, dtype=torch.int64), (shifts[0], shifts[1], flip))
        return moved[0].permute(2, 0, 1)


class OnPillow:
    """A transform of Pillow images, applied to a uint8 image [3, H, W]."""

    def __init__(self, transform: Callable[[Any], Any]) -> None:
        self.transform = transform

    def __call__(self, image: Tensor) -> Tensor:
        edited: Tensor = edit.pil_to_tensor(self.transform(edit.to_pil_image(image)))
        return edited


def _autoaugment(augment: Augment) -> Callable[[Tensor], Tensor]:
    """AutoAugment's ImageNet policy; rotations and shears fill with black, as in DepS."""
    policy = v2.AutoAugmentPolicy.IMAGENET
    if augment.interpolation == "nearest":
        nearest: Callable[[Tensor], Tensor] = v2.AutoAugment(policy)
        return nearest  # on tensors, for runs whose record says nothing else
    return OnPillow(v2.AutoAugment(policy, v2.InterpolationMode.BILINEAR))


class DrawnJitter(v2.ColorJitter):  # type: ignore[misc]
    """Draws the numbers of a colour jitter, and writes them down."""

    def __init__(self, numbers: list[float], **reach: float) -> None:
        super().__init__(**reach)
        self.numbers = numbers

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """The image as it is."""
        names = ("brightness", "contrast", "saturation", "hue")
        factors = [params[f"{name}_factor"] for name in names]
        self.numbers[ORDER] = params["fn_idx"].tolist()
        self.numbers[FACTORS] = [math.nan if value is None else value for value in factors]
        return inpt


class DrawnErasing(v2.RandomErasing):  # type: ignore[misc]
    """Draws the box of a random erasing, and writes it down."""

    def __init__(self, numbers: list[float], p: float) -> None:
        super().__init__(p=p)
        self.numbers = numbers

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """The image as it is."""
        if params["v"] is not None:
            self.numbers[BOX] = [float(params[name]) for name in "ijhw"]
        return inpt


def _drawn(augment: Augment, numbers: list[float]) -> list[Callable[[Tensor], Tensor]]:
    """As `_colour`, with jitter and erasing drawn only."""
    steps: list[Callable[[Tensor], Tensor]] = []
    if augment.autoaugment:
        steps.append(_autoaugment(augment))
    if augment.jitter != "none":
        steps.append(DrawnJitter(numbers, **JITTER[augment.jitter]))
    if augment.erasing:
        steps.append(DrawnErasing(numbers, augment.erasing))
    return steps


def _colour(augment: Augment, mean: Channels) -> list[Callable[[Tensor], Tensor]]:
    steps: list[Callable[[Tensor], Tensor]] = []
    if augment.autoaugment:
        steps.append(_autoaugment(augment))
    if augment.jitter != "none":
        steps.append(v2.ColorJitter(**JITTER[augment.jitter]))
    if augment.erasing:
        grey = [float(round(255 * value)) for value in mean]
        steps.append(v2.RandomErasing(p=augment.erasing, value=grey))
    return steps
