"""Colour jitter and erasing of whole batches, on their device, by numbers that samples have drawn.

The numbers of a sample come from its own address, in a worker, and the pixels are those that
`per_sample.Augmented` makes of one image (`tests/data/test_colour.py`): the same operations in the
same order, each rounded to single precision as a CPU's fused multiply-add rounds it. So where
colours are changed is no part of a run's identity.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from ofa_bench.errors import UsageError

VARIABLE = "OFA_BENCH_JITTER"
ORDER, FACTORS, BOX = slice(0, 4), slice(4, 8), slice(8, 12)
"""Columns of a sample's twelve numbers, float64: the order of brightness, contrast, saturation and
hue; their factors, NaN for what is left out; top, left, height and width of what is erased."""

BRIGHTNESS, CONTRAST, HUE = 0, 1, 3
HUE_ROUND = 3
NOTHING = (0.0, 1.0, 2.0, 3.0, *[math.nan] * 4, *[0.0] * 4)
LUMA = tuple(torch.tensor((0.2989, 0.587, 0.114), dtype=torch.float32).tolist())
CHANNELS = ("vqpptv", "tvvqpp", "pptvvq")
"""Red, green and blue in each sixth of the hue circle (Smith 1978)."""


def jitters_on(device: torch.device) -> bool:
    """Whether colours are changed on the run's device, and not by the workers: on a GPU, unless
    OFA_BENCH_JITTER says `workers` or `device`. Raises UsageError if it says something else."""
    wish = os.environ.get(VARIABLE) or "auto"
    if wish not in ("auto", "workers", "device"):
        raise UsageError(f"{VARIABLE} is {wish!r}", "auto, workers or device")
    return wish == "device" or (wish == "auto" and device.type == "cuda")


def coloured(pixels: Tensor, numbers: Tensor, grey: Sequence[int]) -> Tensor:
    """Jittered, then erased to `grey`: uint8 [n, R, R, 3] as uint8 [n, R, R, 3], on its device.

    `numbers`: float64 [n, 12] on the CPU, see `ORDER`, `FACTORS` and `BOX`.
    """
    rounds = _rounds(numbers)
    table = torch.stack([torch.cat(column) for column in zip(*rounds, strict=True)])
    table = table.to(pixels.device, non_blocking=True)
    values = numbers.to(pixels.device, non_blocking=True)
    result = pixels.clone()
    sizes = [len(rows) for rows, _ in rounds]
    for number, (rows, edits) in enumerate(torch.split(table, sizes, 1)):
        if not sizes[number]:
            continue
        factors = values[rows, FACTORS.start + edits].view(-1, 1, 1, 1)
        edit = _hue if number == HUE_ROUND else _blend
        result[rows] = edit(result[rows], factors, edits.view(-1, 1, 1, 1))
    return _erased(result, numbers, values, grey)


def _rounds(numbers: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Rows and their edits, so that each sample's come in its own order: what comes before the hue
    of a sample, place by place, then all hues, then what comes after."""
    order, wanted = numbers[:, ORDER].long(), numbers[:, FACTORS].isnan().logical_not()
    active, turn = wanted.gather(1, order), (order == HUE).long().argmax(1)
    before = [active[:, at] & (turn > at) for at in range(3)]
    after = [active[:, at] & (turn < at) for at in range(1, 4)]
    masks = zip([*before, wanted[:, HUE], *after], (0, 1, 2, None, 1, 2, 3), strict=True)
    rounds = []
    for mask, at in masks:
        rows = mask.nonzero().flatten()
        edits = torch.full_like(rows, HUE) if at is None else order[rows, at]
        rounds.append((rows, edits))
    return rounds


def _erased(pixels: Tensor, numbers: Tensor, values: Tensor, grey: Sequence[int]) -> Tensor:
    if not bool(numbers[:, BOX.start + 2].any()):
        return pixels
    steps = torch.arange(pixels.shape[1], device=pixels.device)
    top, left, height, width = (part.view(-1, 1) for part in values[:, BOX].unbind(1))
    down = (steps >= top) & (steps < top + height)
    right = (steps >= left) & (steps < left + width)
    box = (down[:, :, None] & right[:, None, :]).unsqueeze(-1)
    return torch.where(box, _colour(tuple(grey), pixels.device), pixels)


def _blend(pixels: Tensor, factors: Tensor, edits: Tensor) -> Tensor:
    """Brightness, contrast or saturation: away from black, from the image's mean grey, or from each
    pixel's own. The mean is of whole numbers, whose sum is exact in double precision."""
    shades = _grey(pixels)
    mean = shades.sum((1, 2, 3), keepdim=True, dtype=torch.float64).float() / shades[0].numel()
    other = torch.where(edits == CONTRAST, mean, shades) * (edits != BRIGHTNESS)
    return _levels(_plus(pixels * factors.float(), other, (1 - factors).float().double()))


def _hue(pixels: Tensor, factors: Tensor, edits: Tensor) -> Tensor:
    """Hue turned by a share of the circle, by way of hue, saturation and value."""
    shares = pixels.float().mul_(1 / 255)
    low, high = shares.aminmax(dim=-1)
    reach = high - low
    colourless = reach == 0
    saturation = reach / torch.where(colourless, 1.0, high)
    below = (high.unsqueeze(-1) - shares) / torch.where(colourless, 1.0, reach).unsqueeze(-1)
    (red, green, _), (r, g, b) = shares.unbind(-1), below.unbind(-1)
    sixths = torch.where(high == red, b - g, torch.where(high == green, 2 + r - b, 4 + g - r))
    hue = sixths.mul_(1 / 6).add_(1).fmod_(1)
    return _levels(
        _rgb(hue.add_(factors[..., 0].float()).remainder_(1), saturation, high) * 255.999
    )


def _rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    turned = hue * 6
    sector = turned.floor()
    part, dull = saturation * (turned - sector), 1 - saturation
    levels = torch.stack([value, dull * value, (1 - part) * value, (part + dull) * value], -1)
    return levels.clamp_(0, 1).gather(-1, _sectors(hue.device)[sector.long() % 6])


@lru_cache
def _sectors(device: torch.device) -> Tensor:
    """Which of value, p, q and t the channels have in each sixth of the circle, [6, 3]."""
    which = [
        ["vpqt".index(letter) for letter in letters] for letters in zip(*CHANNELS, strict=True)
    ]
    return torch.tensor(which, device=device)


@lru_cache
def _colour(levels: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.tensor(levels, dtype=torch.uint8, device=device)


def _grey(pixels: Tensor) -> Tensor:
    red, green, blue = pixels.chunk(3, -1)
    return _plus(_plus(red * LUMA[0], green, LUMA[1]), blue, LUMA[2]).floor_()


def _plus(x: Tensor, y: Tensor, factor: Tensor | float) -> Tensor:
    """x + factor · y, rounded once: products of single-precision numbers are exact in double."""
    if isinstance(factor, float):
        return torch.add(x.double(), y, alpha=factor).float()
    return torch.addcmul(x.double(), y, factor).float()


def _levels(values: Tensor) -> Tensor:
    return values.clamp_(0, 255).to(torch.uint8)
