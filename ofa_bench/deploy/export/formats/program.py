"""`pt2`: a torch.export program with a free batch size."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ofa_bench.deploy.export.exporter import Deployable, Floats

if TYPE_CHECKING:
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


class TorchFile:
    """A file that is read back as a network of torch, for images of shape [3, r, r]."""

    def __init__(self, net: Any, shape: Sequence[int]) -> None:
        self.net, self.shape = net, shape

    @torch.no_grad()
    def logits(self, images: Floats) -> Floats:
        """Logits [n, classes] by running the network."""
        result: Floats = self.net(torch.from_numpy(images)).numpy()
        return result

    @torch.no_grad()
    def macs(self) -> int:
        """Counted by torch while the network runs on one image."""
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter:
            self.net(torch.zeros(1, *self.shape))
        return int(counter.get_total_flops()) // 2


class ProgramExporter:
    """Writes `model.pt2`, which `torch.export.load` reads."""

    files = (FILE,)
    exact = True

    def require(self, model: Deployable) -> None:
        """Nothing: torch is there."""

    def write(self, model: Deployable, folder: Path) -> None:
        buffer = io.BytesIO()
        torch.export.save(model.program, buffer)
        (folder / FILE).write_bytes(buffer.getvalue())

    def read(self, folder: Path) -> ProgramFile:
        return ProgramFile(torch.export.load(io.BytesIO((folder / FILE).read_bytes())))


class ProgramFile(TorchFile):
    """A program that was read back."""

    def __init__(self, program: ExportedProgram) -> None:
        inputs = program.graph_signature.user_inputs
        nodes = (node for node in program.graph.nodes if node.op == "placeholder")
        images = next(node for node in nodes if node.name in inputs)
        super().__init__(program.module(), [int(size) for size in images.meta["val"].shape[1:]])

    def facts(self) -> dict[str, Any]:
        return {"torch": torch.__version__}

    @torch.no_grad()
    def activations(self, images: Floats) -> dict[str, Floats]:
        values: dict[str, Floats] = {}

        class Watch(torch.fx.Interpreter):
            def run_node(self, n: torch.fx.Node) -> Any:
                value = super().run_node(n)
                for path, _ in n.meta.get("nn_module_stack", {}).values():
                    if isinstance(value, Tensor):
                        values[path] = value.numpy()
                return value

        Watch(self.net).run(torch.from_numpy(images))
        return values
