"""A subnet of an opened run, calibrated as evaluation does it and taken out of the supernet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ofa_bench.deploy.export.exporter import Deployable
from ofa_bench.deploy.export.folding import folded_state, table_of
from ofa_bench.deploy.export.proof import Reference
from ofa_bench.deploy.model_folder.build import built
from ofa_bench.deploy.model_folder.schema import InputImages
from ofa_bench.errors import UsageError
from ofa_bench.evaluation.calibration import calibrate
from ofa_bench.nets.extract import extract
from ofa_bench.nets.mbconv import MBConvNet

if TYPE_CHECKING:
    from ofa_bench.data.sources.source import BatchSource, HeldOut
    from ofa_bench.nets.protocol import Supernet
    from ofa_bench.space import Subnet

EXAMPLES = 7


@dataclass(frozen=True)
class ImageBatches:
    """A run's images at one resolution, on the CPU and contiguous."""

    source: BatchSource
    resolution: int
    chunk: int

    def calibration(self) -> Iterator[Tensor]:
        """The images that calibrate batch norm, in batches."""
        for batch in self.source.calibration(self.resolution):
            yield plain_images(batch.images)

    def held_out(self, split: HeldOut) -> Iterator[tuple[Tensor, Tensor]]:
        """A split's images and labels in fixed order, in batches."""
        for batch in self.source.evaluation(split, self.resolution, self.chunk):
            yield plain_images(batch.images), batch.labels.cpu()

    def select(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.held_out("select")

    def example(self) -> Tensor:
        """Seven calibration images, some twice where there are fewer."""
        images = next(self.calibration())
        return images[torch.arange(EXAMPLES) % len(images)]


def plain_images(images: Tensor) -> Tensor:
    return images.cpu().contiguous()


def prepared(net: Supernet, subnet: Subnet, images: ImageBatches) -> tuple[Deployable, Reference]:
    """The subnet as networks of its own, and what they must agree with.

    Raises UsageError where the network is not one of inverted residual blocks.
    """
    if not isinstance(net, MBConvNet):
        raise UsageError(
            f"a {type(net).__name__} has no block table, so it cannot be exported",
            "networks of the family mbconv can",
        )
    source = images.source
    statistics = calibrate(net, subnet, source.calibration(subnet.resolution))
    alone = extract(net, subnet, statistics).cpu()
    table = table_of(alone)
    state = {name: value.detach().contiguous() for name, value in alone.state_dict().items()}
    unfolded, folded = (built(table, net.classes, folded=form) for form in (False, True))
    unfolded.load_state_dict(state, strict=True, assign=True)
    folded.load_state_dict(folded_state(state, table.norm_eps), strict=True, assign=True)
    for form in (unfolded, folded):
        form.requires_grad_(False)
    model = Deployable(
        table=table,
        classes=source.class_names,
        folded=folded,
        unfolded=unfolded,
        example=images.example(),
        calibration=images.calibration,
        select=images.select,
        images=InputImages.model_validate(asdict(source.preprocessing(subnet.resolution))),
    )
    return model, Reference(net, subnet, statistics)
