"""`onnx`: a graph by torch's own exporter, its opset stamped, its batch size free."""

from __future__ import annotations

import ast
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_bench.deploy.export.exporter import Deployable, Floats
from ofa_bench.optional.libraries import require_library

if TYPE_CHECKING:
    import onnx
    from torch import Tensor

FILE = "model.onnx"
IMAGES, LOGITS, BATCH = "images", "logits", "batch"
EXTRA = "export"
STACK = "pkg.torch.onnx.stack_trace"
SCOPES = "pkg.torch.onnx.name_scopes"
LIBRARIES = ("onnx", "onnxscript", "onnxruntime")


class OnnxExporter:
    """Writes `model.onnx`: input `images` [batch, 3, r, r], output `logits` [batch, classes]."""

    name = "onnx"
    files = (FILE,)
    exact = True

    def require(self, model: Deployable) -> None:
        for library in LIBRARIES:
            require_library(library, EXTRA, f"the format {self.name}")

    def write(self, model: Deployable, folder: Path) -> None:
        (folder / FILE).write_bytes(model.graph)

    def read(self, folder: Path) -> OnnxFile:
        return OnnxFile(folder / FILE)


def graph_of(model: Deployable) -> bytes:
    """The folded network as an ONNX graph, its weights inside and without stack traces."""
    graph = exported(model.program, (), dynamic_shapes=({0: BATCH},), external_data=False)
    for node in graph.graph.node:
        kept = [entry for entry in node.metadata_props if entry.key != STACK]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    raw: bytes = graph.SerializeToString()
    return raw


def exported(network: Any, arguments: tuple[Tensor, ...], **options: Any) -> onnx.ModelProto:
    """A network or program as an ONNX graph, by torch's own exporter."""
    import torch

    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            network,
            arguments,
            dynamo=True,
            verbose=False,
            input_names=[IMAGES],
            output_names=[LOGITS],
            **options,
        )
    assert program is not None
    graph: onnx.ModelProto = program.model_proto
    return graph


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells of each network what it does; its errors still come through."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


class OnnxFile:
    """An ONNX file, read back."""

    def __init__(self, path: Path) -> None:
        import onnx

        self.path = path
        self.graph = onnx.load(str(path))
        onnx.checker.check_model(self.graph, full_check=True)
        self.session = session_of(path.read_bytes())

    def logits(self, images: Floats) -> Floats:
        """Logits by onnxruntime on the CPU."""
        (result,) = self.session.run([LOGITS], {IMAGES: images})
        logits: Floats = result
        return logits

    def macs(self) -> int:
        return graph_macs(self.graph)

    def facts(self) -> dict[str, Any]:
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

    def activations(self, images: Floats) -> dict[str, Floats]:
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
