"""What the bench brings to search a finished run, to measure its subnets and to take them out."""

from __future__ import annotations

from ofa_bench import Catalogue, hookimpl


@hookimpl
def register(catalogue: Catalogue) -> None:
    """Searchers, devices and exporters; the card is README.md."""
    formats = "ofa_bench.deploy.export.formats"
    catalogue.exporter("safetensors", f"{formats}.weights:WeightsExporter")
    catalogue.exporter("onnx", f"{formats}.onnx_graph:OnnxExporter")
    catalogue.exporter("pt2", f"{formats}.program:ProgramExporter")
