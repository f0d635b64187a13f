"""Images as the network wants them, to the bit as evaluation makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from ofa_bench.deploy.model_folder.schema import InputImages

if TYPE_CHECKING:
    from PIL.Image import Image


class ImageTransform:
    """A Pillow image of any size to float32 [3, resolution, resolution], normalised."""

    def __init__(self, images: InputImages) -> None:
        self.images = images
        deviation = torch.tensor(images.std, dtype=torch.float64)
        centre = torch.tensor(images.mean, dtype=torch.float64)
        self.scale = (1 / (255 * deviation)).float()
        self.shift = (-centre / deviation).float()

    def __call__(self, image: Image) -> Tensor:
        """The image's tensor; `torch.stack` of several makes a batch."""
        from ofa_bench.data.discovery.decoder import pixels_of

        pixels = torch.from_numpy(pixels_of(image).copy())
        pixels = self.centre(self.sized(pixels.permute(2, 0, 1)))
        values = pixels.permute(1, 2, 0).to(torch.float32)
        return values.mul_(self.scale).add_(self.shift).permute(2, 0, 1).contiguous()

    def sized(self, pixels: Tensor) -> Tensor:
        """uint8 [3, H, W] with the short side resized (bilinear, antialiased)."""
        height, width = pixels.shape[1:]
        side, short = self.images.resize, min(height, width)
        if short == side:
            return pixels
        if self.images.arithmetic == "uint8":
            from torchvision.transforms.v2 import functional as edit

            edited: Tensor = edit.resize(pixels, [side], antialias=True)
            return edited
        sizes = tuple(max(side, round(length * side / short)) for length in (height, width))
        batch = pixels.unsqueeze(0).to(torch.float32)
        real = functional.interpolate(
            batch, sizes, mode="bilinear", antialias=True, align_corners=False
        )
        return real[0].round_().clamp_(0, 255).to(torch.uint8)

    def centre(self, pixels: Tensor) -> Tensor:
        side = self.images.resolution
        if pixels.shape[1:] == (side, side):
            return pixels
        from torchvision.transforms.v2 import functional as edit

        middle: Tensor = edit.center_crop(pixels, [side, side])
        return middle
