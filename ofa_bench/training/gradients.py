"""All gradients as one flat buffer: zeroing, reducing, clipping and merging are one call."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class FlatGradients:
    """One buffer of which every parameter's gradient is a view, with the parameter's strides.

    `rows` [draws, parameters] are separate buffers per draw, for extras that merge gradients.
    """

    def __init__(self, named: Iterable[tuple[str, nn.Parameter]]) -> None:
        self.parameters = dict(named)
        self.ranges: dict[str, tuple[int, int]] = {}
        end = 0
        for name, parameter in self.parameters.items():
            self.ranges[name] = (end, end + parameter.numel())
            end += parameter.numel()
        first = next(iter(self.parameters.values()))
        self.flat = torch.zeros(end, dtype=first.dtype, device=first.device)
        self.rows = self.flat.new_zeros(0, end)
        self.attach(self.flat)

    def attach(self, buffer: Tensor) -> None:
        """Make backward passes accumulate into this buffer."""
        for name, parameter in self.parameters.items():
            parameter.grad = self.view(buffer, name)

    def view(self, buffer: Tensor, name: str) -> Tensor:
        """A parameter's part of a buffer, with the parameter's shape and strides."""
        parameter, (start, _) = self.parameters[name], self.ranges[name]
        return buffer.as_strided(
            parameter.shape, parameter.stride(), buffer.storage_offset() + start
        )

    def row(self, draw: int) -> None:
        """Make backward passes accumulate into the row of a draw; rows are added as needed."""
        if len(self.rows) <= draw:
            more = self.flat.new_zeros(draw + 1 - len(self.rows), len(self.flat))
            self.rows = torch.cat([self.rows, more])
        self.attach(self.rows[draw])

    def zero(self) -> None:
        self.flat.zero_()
        if len(self.rows):
            self.rows.zero_()

    def clip(self, norm: float) -> None:
        """Scale the gradient to at most this global L2 norm, without synchronizing."""
        self.flat.mul_((norm / (torch.linalg.vector_norm(self.flat) + 1e-6)).clamp(max=1.0))
