"""How a held-out image becomes the network's input, in words that another program can follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ofa_bench.data.discovery.datasets import Channels


@dataclass(frozen=True)
class Preprocessing:
    """Resize the short side to `resize` pixels (bilinear, antialiased), cut the centre of
    `resolution`, divide by 255, normalise by channel.

    `arithmetic`: whether resizing computes in floating point and rounds, or in whole numbers.
    """

    resize: int
    resolution: int
    arithmetic: Literal["float", "uint8"]
    mean: Channels
    std: Channels
