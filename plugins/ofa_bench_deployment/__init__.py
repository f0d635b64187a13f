"""What the bench brings to search a finished run, to measure its subnets and to take them out."""

from __future__ import annotations

from ofa_bench import Catalogue, hookimpl


@hookimpl
def register(catalogue: Catalogue) -> None:
    """Searchers, devices and exporters; the card is README.md."""
    catalogue.device("torch-cpu", "ofa_bench.deploy.latency.devices:TorchCpu")
    catalogue.device("onnx-cpu", "ofa_bench.deploy.latency.onnx_cpu:OnnxCpu")
    catalogue.device("cuda", "ofa_bench.deploy.latency.devices:Cuda")
