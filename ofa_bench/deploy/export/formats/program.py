"""`pt2`: a torch.export program with a free batch size."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ofa_bench.deploy.export.exporter import Deployable

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray
    from torch.export import ExportedProgram

FILE = "model.pt2"


def traced(net: nn.Module, example: Tensor) -> ExportedProgram:
    """The network as a graph. Stack traces, which name files of this machine, are taken out."""
    batch = torch.export.Dim("batch")
    with torch.no_grad():
        program = torch.export.export(net, (example[:2],), dynamic_shapes=({0: batch},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


def counted_macs(net: Any, images: Tensor) -> int:
    """Multiply-accumulates for one of the images, by torch's own counter."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(images[:1])
    return int(counter.get_total_flops()) // 2


class ProgramExporter:
    """Writes `model.pt2`, which `torch.export.load` reads."""

    files = (FILE,)
    exact = True

    def require(self, model: Deployable) -> None:
        """Nothing: torch is there."""

    def write(self, model: Deployable, folder: Path) -> None:
        """Write the program."""
        buffer = io.BytesIO()
        torch.export.save(model.program, buffer)
        (folder / FILE).write_bytes(buffer.getvalue())

    def read(self, folder: Path) -> ProgramFile:
        """The program as `torch.export.load` reads it."""
        return ProgramFile(torch.export.load(io.BytesIO((folder / FILE).read_bytes())))


class ProgramFile:
    """A program that was read back."""

    def __init__(self, program: ExportedProgram) -> None:
        self.program, self.net = program, program.module()

    @torch.no_grad()
    def logits(self, images: NDArray[numpy.float32]) -> NDArray[numpy.float32]:
        """Logits by running the program."""
        result: NDArray[numpy.float32] = self.net(torch.from_numpy(images)).numpy()
        return result

    def macs(self) -> int:
        """Counted while the program runs on one image."""
        placeholder = next(
            node
            for node in self.program.graph.nodes
            if node.op == "placeholder" and node.name in self.program.graph_signature.user_inputs
        )
        shape = placeholder.meta["val"].shape[1:]
        return counted_macs(self.net, torch.zeros(1, *map(int, shape)))

    def facts(self) -> dict[str, Any]:
        """The version that wrote it."""
        return {"torch": torch.__version__}

    @torch.no_grad()
    def activations(self, images: NDArray[numpy.float32]) -> dict[str, NDArray[numpy.float32]]:
        """The last value computed in each layer."""
        values: dict[str, NDArray[numpy.float32]] = {}

        class Watch(torch.fx.Interpreter):
            def run_node(self, n: torch.fx.Node) -> Any:
                value = super().run_node(n)
                for path, _ in n.meta.get("nn_module_stack", {}).values():
                    if isinstance(value, Tensor):
                        values[path] = value.numpy()
                return value

        Watch(self.program.module()).run(torch.from_numpy(images))
        return values
