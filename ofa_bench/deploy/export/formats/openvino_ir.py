"""`openvino`: OpenVINO's intermediate representation, in single precision."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

from ofa_bench.deploy.export.exporter import Deployable, Floats
from ofa_bench.optional.libraries import require_library

NAME = "openvino"
GRAPH, WEIGHTS = "model.xml", "model.bin"
PRECISION = {"INFERENCE_PRECISION_HINT": "f32"}


class OpenvinoExporter:
    """Writes `model.xml` and `model.bin`: images [?, 3, r, r] to logits [?, classes]."""

    files = (GRAPH, WEIGHTS)
    exact = True

    def __init__(self) -> None:
        self._layers: dict[str, str] = {}

    def require(self, model: Deployable) -> None:
        require_library(NAME, NAME, f"the format {NAME}")

    def write(self, model: Deployable, folder: Path) -> None:
        """Convert the graph with a free batch size, weights as they are."""
        import openvino

        side = model.example.shape[-1]
        converted = openvino.convert_model(model.program, input=[-1, 3, side, side])
        converted.outputs[0].set_names({"logits"})
        openvino.save_model(converted, folder / GRAPH, compress_to_fp16=False)
        for node in model.program.graph.nodes:
            for path, _ in node.meta.get("nn_module_stack", {}).values():
                self._layers[path] = f"{node.name}:0"

    def read(self, folder: Path) -> OpenvinoFile:
        return OpenvinoFile(folder / GRAPH, self._layers)


class OpenvinoFile:
    """A representation that was read back; `layers`: each layer's last value by its name."""

    def __init__(self, path: Path, layers: dict[str, str]) -> None:
        import openvino

        self.core, self.layers, self.path = openvino.Core(), layers, path
        self.graph = self.core.read_model(path)
        self.net = self.core.compile_model(self.graph, "CPU", PRECISION)

    def logits(self, images: Floats) -> Floats:
        result: Floats = self.net({0: images})[0].copy()
        return result

    def macs(self) -> int:
        return sum(map(_operation_macs, self.graph.get_ops()))

    def facts(self) -> dict[str, Any]:
        import openvino

        return {"openvino": openvino.__version__}

    def activations(self, images: Floats) -> dict[str, Floats]:
        """The last value of each layer, as far as the conversion kept its name."""
        graph = self.core.read_model(self.path)
        names = {name for output in graph.get_ops() for name in _names(output)}
        kept = {layer: name for layer, name in self.layers.items() if name in names}
        graph.add_outputs(sorted(set(kept.values())))
        net = self.core.compile_model(graph, "CPU", PRECISION)
        values = net({0: images})
        return {layer: values[name] for layer, name in kept.items()}


def _names(operation: Any) -> set[str]:
    return {name for output in operation.outputs() for name in output.get_names()}


def _operation_macs(operation: Any) -> int:
    kind = operation.get_type_name()
    if kind not in ("Convolution", "GroupConvolution", "MatMul"):
        return 0
    kernel = list(operation.input(1).get_partial_shape().to_shape())
    output = operation.output(0).get_partial_shape()
    values = prod(dim.get_length() for dim in list(output)[1:])
    if kind == "MatMul":
        return int(values * (prod(kernel) // list(output)[-1].get_length()))
    return int(values * prod(kernel[2 if kind == "GroupConvolution" else 1 :]))
