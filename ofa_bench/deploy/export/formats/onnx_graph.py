"""`onnx`: a graph by torch's own exporter, its opset stamped, its batch size free."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_bench.deploy.export.exporter import Deployable
from ofa_bench.deploy.export.libraries import require_library

if TYPE_CHECKING:
    import numpy
    import onnx
    from numpy.typing import NDArray

FILE = "model.onnx"
IMAGES, LOGITS, BATCH = "images", "logits", "batch"
EXTRA = "export"
STACK = "pkg.torch.onnx.stack_trace"
SCOPES = "pkg.torch.onnx.name_scopes"
LIBRARIES = ("onnx", "onnxscript", "onnxruntime")


class OnnxExporter:
    """Writes `model.onnx`: input `images` [batch, 3, r, r], output `logits` [batch, classes]."""

    files = (FILE,)
    exact = True

    def require(self, model: Deployable) -> None:
        """onnx, onnxscript and onnxruntime must be installed."""
        for library in LIBRARIES:
            require_library(library, EXTRA, "the format onnx")

    def write(self, model: Deployable, folder: Path) -> None:
        """Write the graph."""
        (folder / FILE).write_bytes(graph_of(model).SerializeToString())

    def read(self, folder: Path) -> OnnxFile:
        """The graph as onnxruntime runs it."""
        return OnnxFile(folder / FILE)


def graph_of(model: Deployable) -> onnx.ModelProto:
    """The folded network as an ONNX graph, its weights inside."""
    import torch

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model.program,
            (),
            dynamo=True,
            input_names=[IMAGES],
            output_names=[LOGITS],
            dynamic_shapes=({0: BATCH},),
            external_data=False,
            verbose=False,
        )
    assert program is not None
    graph: onnx.ModelProto = program.model_proto
    for node in graph.graph.node:
        kept = [entry for entry in node.metadata_props if entry.key != STACK]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    return graph


class OnnxFile:
    """An ONNX file, read back."""

    def __init__(self, path: Path) -> None:
        import onnx

        self.path = path
        self.graph = onnx.load(str(path))
        onnx.checker.check_model(self.graph, full_check=True)
        self.session = session_of(path.read_bytes())

    def logits(self, images: NDArray[numpy.float32]) -> NDArray[numpy.float32]:
        """Logits by onnxruntime on the CPU."""
        (result,) = self.session.run([LOGITS], {IMAGES: images})
        logits: NDArray[numpy.float32] = result
        return logits

    def macs(self) -> int:
        """Counted from the shapes of the graph's nodes."""
        return graph_macs(self.graph)

    def facts(self) -> dict[str, Any]:
        """Opset, IR and the exporter's name."""
        import onnxruntime

        opset = next(entry.version for entry in self.graph.opset_import if not entry.domain)
        producer = f"{self.graph.producer_name} {self.graph.producer_version}".strip()
        batch = self.graph.graph.input[0].type.tensor_type.shape.dim[0].dim_param
        return {
            "opset": int(opset),
            "ir": int(self.graph.ir_version),
            "producer": producer,
            "batch": batch,
            "nodes": len(self.graph.graph.node),
            "onnxruntime": onnxruntime.__version__,
        }

    def activations(self, images: NDArray[numpy.float32]) -> dict[str, NDArray[numpy.float32]]:
        """The last value that a node of each layer computes, with no node rewritten."""
        import onnx

        names = layer_values(self.graph)
        whole = onnx.ModelProto()
        whole.CopyFrom(self.graph)
        present = {value.name for value in whole.graph.output}
        for name in sorted(set(names.values()) - present):
            whole.graph.output.append(onnx.ValueInfoProto(name=name))
        session = session_of(whole.SerializeToString(), as_written=True)
        outputs = [value.name for value in session.get_outputs()]
        values = dict(zip(outputs, session.run(outputs, {IMAGES: images}), strict=True))
        return {layer: values[name] for layer, name in names.items()}


def layer_values(graph: onnx.ModelProto) -> dict[str, str]:
    """Layer's name to the value that its last node gives."""
    values = {}
    for node in graph.graph.node:
        entries = {entry.key: entry.value for entry in node.metadata_props}
        for scope in ast.literal_eval(entries.get(SCOPES, "[]"))[:-1]:
            if scope:
                values[scope] = node.output[0]
    return values


def graph_macs(graph: onnx.ModelProto) -> int:
    """Multiply-accumulates for one image of all convolutions and matrix products of a graph."""
    import onnx

    inferred = onnx.shape_inference.infer_shapes(graph, strict_mode=True).graph
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*inferred.input, *inferred.value_info, *inferred.output)
    }
    shapes |= {tensor.name: list(tensor.dims) for tensor in inferred.initializer}
    return sum(_node_macs(node, shapes) for node in inferred.node)


def _node_macs(node: onnx.NodeProto, shapes: dict[str, list[int]]) -> int:
    from math import prod

    if node.op_type == "Conv":
        kernel, output = shapes[node.input[1]], shapes[node.output[0]]
        return prod(output[1:]) * prod(kernel[1:])
    if node.op_type in ("Gemm", "MatMul"):
        matrix, output = shapes[node.input[1]], shapes[node.output[0]]
        columns = output[-1]
        return prod(output[1:]) * (prod(matrix) // columns)
    return 0


def session_of(
    raw: bytes, *, as_written: bool = False, threads: int = 0, optimised: Path | None = None
) -> Any:
    """A session of onnxruntime on the CPU. `as_written`: without its optimisations; `threads`: 0
    is all; `optimised`: where to write the graph that it really runs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    if as_written:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
