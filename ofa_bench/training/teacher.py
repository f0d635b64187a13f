"""Frozen teachers: copies of the supernet, or loaded from a file."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ofa_bench.data.sources.batch import MicroBatch
from ofa_bench.evaluation.calibration import Statistics, calibrate, calibrated
from ofa_bench.hooks.hookspecs import Teacher
from ofa_bench.losses import full_precision
from ofa_bench.training.cuda.graphs import Blocks

Over = Callable[[Any], Blocks]


class FrozenTeacher:
    """A frozen teacher network.

    Batch norm uses batch statistics in mode "train", as published implementations do, and in mode
    "eval" statistics that are calibrated at the first use of each resolution.
    """

    def __init__(self, value: Teacher, net: Any, source: Any, over: Over = Blocks) -> None:
        self.value = value
        self._net = net.requires_grad_(False)
        self._source = source
        self._over = over
        self._blocks: dict[int, Blocks] = {}
        self._statistics: dict[int, Statistics] = {}

    @classmethod
    def taken(cls, value: Teacher, net: Any, source: Any, over: Over = Blocks) -> FrozenTeacher:
        """A copy of the current network; `over` makes the executor of its blocks."""
        return cls(value, copy.deepcopy(net), source, over)

    def on(self, batch: MicroBatch) -> Callable[[int], Tensor]:
        """A function from a resolution to the teacher's logits [n, classes] on a micro-batch."""

        def logits(resolution: int) -> Tensor:
            subnet = self.value.subnet.at(resolution)
            with torch.no_grad():
                if self.value.mode == "train":
                    return self._forward(subnet, batch.at(resolution).images)
                with calibrated(self._net, subnet, self._calibration(resolution)):
                    return self._forward(subnet, batch.at(resolution).images)

        return logits

    def _forward(self, subnet: Any, images: Tensor) -> Tensor:
        # Statistics differ by resolution, and recorded graphs refer to their memory.
        apart = subnet.resolution if self.value.mode == "eval" else 0
        if apart not in self._blocks:
            self._blocks[apart] = self._over(self._net)
        blocks, x = self._blocks[apart], images
        for index in range(len(self._net.blocks)):
            if self._net.key(subnet, index) is not None:
                x = blocks.run(index, x, subnet, None)
        return full_precision(x)

    def _calibration(self, resolution: int) -> Statistics:
        if resolution not in self._statistics:
            subnet = self.value.subnet.at(resolution)
            batches = self._source.calibration(resolution)
            self._statistics[resolution] = calibrate(self._net, subnet, batches)
        return self._statistics[resolution]

    def weights(self) -> dict[str, Tensor]:
        """The teacher's state_dict, for the checkpoint."""
        return dict(self._net.state_dict())

    def load(self, weights: Mapping[str, Tensor]) -> None:
        self._net.load_state_dict(weights)
        self._statistics.clear()
        self._blocks.clear()
