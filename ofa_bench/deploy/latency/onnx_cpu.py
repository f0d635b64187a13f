"""onnxruntime on the CPU: modules become ONNX graphs, known parts of them only once."""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ofa_bench.deploy.export.formats.onnx_graph import EXTRA, LIBRARIES, exported, session_of
from ofa_bench.deploy.latency.devices import Call, noise
from ofa_bench.hardware import cpu_model
from ofa_bench.nets import extract
from ofa_bench.optional.libraries import require_library


class OnnxCpu:
    """Sessions of onnxruntime on the CPU, operators one after the other, at its default level of
    graph optimization."""

    def __init__(self, threads: int) -> None:
        for name in LIBRARIES:
            require_library(name, EXTRA, "the device onnx-cpu")
        self.processor, self.threads = cpu_model(), threads
        self._graphs: dict[object, Any] = {}

    def versions(self) -> Mapping[str, str]:
        """Those of torch, whose exporter it is, and of the ONNX libraries."""
        versions = {name: str(importlib.import_module(name).__version__) for name in LIBRARIES}
        return {"torch": torch.__version__, **versions}

    def prepare(self, module: nn.Module, shape: tuple[int, ...]) -> Call:
        """A call of a session; the array of its answer is made anew by each, as for any user."""
        session = self.session(module, shape)
        feed = {session.get_inputs()[0].name: noise(shape).numpy()}

        def call() -> float:
            began = time.perf_counter_ns()
            session.run(None, feed)
            return (time.perf_counter_ns() - began) / 1e6

        return call

    def session(self, module: nn.Module, shape: tuple[int, ...]) -> Any:
        """An onnxruntime.InferenceSession of the module."""
        return session_of(self.graph(module, shape).SerializeToString(), threads=self.threads)

    def graph(self, module: nn.Module, shape: tuple[int, ...]) -> Any:
        """The module's onnx.ModelProto.

        Ordinary modules are exported once, and a chain of blocks is put together of their graphs:
        weights of equal blocks are then the same, which no latency depends on.
        """
        module = module.eval()
        if not ordinary(module):
            return exported(module, (torch.zeros(shape),))
        key = (repr(module), shape)
        if key not in self._graphs:
            if isinstance(module, nn.Sequential) and all(any(b.children()) for b in module):
                return self._chained(module, shape)
            self._graphs[key] = exported(module, (torch.zeros(shape),))
        return self._graphs[key]

    def _chained(self, blocks: nn.Sequential, shape: tuple[int, ...]) -> Any:
        from onnx import compose

        whole, x = None, torch.zeros(shape)
        for number, block in enumerate(blocks):
            part = compose.add_prefix(self.graph(block, tuple(x.shape)), f"{number}_")
            if whole is None:
                whole = part
            else:
                seam = [(whole.graph.output[0].name, part.graph.input[0].name)]
                whole = compose.merge_models(whole, part, io_map=seam)
            with torch.inference_mode():
                x = block(x)
        return whole

    def close(self) -> None:
        self._graphs.clear()


def ordinary(module: nn.Module) -> bool:
    """Whether a module's repr tells all of it: torch's layers, and those that extraction makes."""
    ours = (extract.Residual, extract.Gated)
    return all(
        isinstance(m, ours) or type(m).__module__.startswith("torch.nn.") for m in module.modules()
    )
