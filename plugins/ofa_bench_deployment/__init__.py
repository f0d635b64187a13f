"""What the bench brings to search a finished run, to measure its subnets, to take them out, and to
train elsewhere."""

from __future__ import annotations

from ofa_bench import Catalogue, hookimpl


@hookimpl
def register(catalogue: Catalogue) -> None:
    """Searchers, devices, exporters, launchers and proxies; the card is README.md."""
    catalogue.searcher("exact", "ofa_bench.search.exact:ExactSearcher")
    catalogue.searcher("random", "ofa_bench.search.searcher:RandomSearcher")
    catalogue.searcher("nsga2", "ofa_bench.search.nsga2:Nsga2Searcher")
    formats = "ofa_bench.deploy.export.formats"
    catalogue.exporter("safetensors", f"{formats}.weights:WeightsExporter")
    catalogue.exporter("onnx", f"{formats}.onnx_graph:OnnxExporter")
    catalogue.exporter("int8-onnx", f"{formats}.onnx_int8:Int8Exporter")
    catalogue.exporter("openvino", f"{formats}.openvino_ir:OpenvinoExporter")
    catalogue.exporter("pt2", f"{formats}.program:ProgramExporter")
    catalogue.exporter("timm", f"{formats}.timm_folder:TimmExporter")
    catalogue.device("torch-cpu", "ofa_bench.deploy.latency.devices:TorchCpu")
    catalogue.device("onnx-cpu", "ofa_bench.deploy.latency.onnx_cpu:OnnxCpu")
    catalogue.device("cuda", "ofa_bench.deploy.latency.devices:Cuda")
    catalogue.launcher("local", "ofa_bench.launch.launcher:LocalLauncher")
    catalogue.launcher("slurm", "ofa_bench.launch.slurm:SlurmLauncher")
    catalogue.launcher("lines", "ofa_bench.launch.launcher:LinesLauncher")
    proxies = "ofa_bench.evaluation.proxies"
    catalogue.proxy("macs", f"{proxies}:MacsProxy")
    catalogue.proxy("params", f"{proxies}:ParamsProxy")
    catalogue.proxy("synflow", f"{proxies}:SynflowProxy")
    catalogue.proxy("jacob_cov", f"{proxies}:JacobCovProxy")
    catalogue.proxy("zico", f"{proxies}:ZicoProxy")
