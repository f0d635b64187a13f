"""What an exporter gets and what it must give back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ofa_bench.deploy.model_folder.schema import BlockTable, InputImages

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.export import ExportedProgram

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Deployable:
    """A subnet as a network of its own, ready to be written.

    `folded` has its batch norms in the convolutions, `unfolded` as layers; both are in evaluation
    mode on the CPU, with the calibrated statistics. `example`: float32 images [7, 3, r, r].
    `calibration` and `select`: batches of the run's images, and those with their labels.
    """

    table: BlockTable
    classes: tuple[str, ...]
    folded: nn.Module
    unfolded: nn.Module
    example: Tensor
    calibration: Callable[[], Iterator[Tensor]]
    select: Callable[[], Iterator[tuple[Tensor, Tensor]]]
    images: InputImages

    @cached_property
    def program(self) -> ExportedProgram:
        """The folded network as a graph with a free batch size, without paths of this machine."""
        from ofa_bench.deploy.export.formats.program import traced

        return traced(self.folded, self.example)

    @cached_property
    def graph(self) -> bytes:
        """The program as an ONNX graph."""
        from ofa_bench.deploy.export.formats.onnx_graph import graph_of

        return graph_of(self)


class ExportedFile(Protocol):
    """A written format, read back: the proof computes with it alone."""

    def logits(self, images: Floats) -> Floats:
        """Logits [n, classes] of images [n, 3, r, r], for any n."""
        ...

    def macs(self) -> int:
        """Multiply-accumulates for one image, counted from the graph that was read."""
        ...

    def facts(self) -> dict[str, Any]:
        """What parity.json keeps of it, such as the opset; JSON values."""
        ...

    def activations(self, images: Floats) -> dict[str, Floats]:
        """Outputs of layers by their names in the folded network, as far as the format knows
        them; asked for only where logits differ."""
        ...


class Exporter(Protocol):
    """A file format, by its name in the catalogue.

    `files`: the names of all files and folders that it may write. `exact`: logits must agree to
    rounding; a quantised format says False, and its agreement is reported.
    """

    files: tuple[str, ...]
    exact: bool

    def require(self, model: Deployable) -> None:
        """Raise UsageError where a library is missing or the format cannot hold this network;
        nothing is written then."""
        ...

    def write(self, model: Deployable, folder: Path) -> None:
        """Write the files."""
        ...

    def read(self, folder: Path) -> ExportedFile:
        """Read the files back, as a stranger would."""
        ...
