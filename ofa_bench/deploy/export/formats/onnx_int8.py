"""`int8-onnx`: static quantisation by onnxruntime, calibrated on the run's calibration images.

Scales per tensor and per channel are both tried; the one that is better on `select` is kept.
"""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from ofa_bench.deploy.export.exporter import Deployable, Floats
from ofa_bench.deploy.export.formats.onnx_graph import (
    IMAGES,
    OnnxExporter,
    OnnxFile,
    session_of,
)

if TYPE_CHECKING:
    from torch import Tensor

FILE = "model-int8.onnx"
CHOICE = "ofa_bench.quantisation"
SCALES = {"per-tensor": False, "per-channel": True}
ROUNDS, RUNS, WARM_UP = 9, 20, 10


class Int8Exporter(OnnxExporter):
    """Writes `model-int8.onnx`: the graph of `onnx` with quantised convolutions and products."""

    name = "int8-onnx"
    files = (FILE,)
    exact = False

    def __init__(self) -> None:
        self._plain = b""

    def write(self, model: Deployable, folder: Path) -> None:
        """Quantise in both ways, and write the one with more right answers on `select`."""
        import onnx

        self._plain = model.graph
        variants = {name: quantised(self._plain, model, wide) for name, wide in SCALES.items()}
        scores = {name: _top1(raw, model) for name, raw in variants.items()}
        chosen = max(scores, key=lambda name: scores[name])
        graph = onnx.load_model_from_string(variants[chosen])
        choice = json.dumps({"scales": chosen, "top1_select": scores})
        onnx.helper.set_model_props(graph, {CHOICE: choice})
        (folder / FILE).write_bytes(graph.SerializeToString())

    def read(self, folder: Path) -> Int8File:
        return Int8File(folder / FILE, self._plain)


class Int8File(OnnxFile):
    """A quantised file, read back, beside the graph that it was made of."""

    def __init__(self, path: Path, plain: bytes) -> None:
        super().__init__(path)
        self.plain = plain

    def facts(self) -> dict[str, Any]:
        """Which scales, the share of int8 convolutions that onnxruntime runs, and the measured
        speed against fp32 (batch 1, one thread)."""
        choice = {entry.key: entry.value for entry in self.graph.metadata_props}[CHOICE]
        facts = {**super().facts(), **json.loads(choice), "int8_convolutions": self.int8_share()}
        if self.plain:
            facts["speed"] = speed_ratio(self.plain, self.path.read_bytes(), self.resolution)
        return facts

    @property
    def resolution(self) -> int:
        return int(self.graph.graph.input[0].type.tensor_type.shape.dim[-1].dim_value)

    def int8_share(self) -> float:
        """Of the convolutions in the graph as onnxruntime optimised it, those that are int8."""
        import onnx

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "optimised.onnx")
            session_of(self.path.read_bytes(), optimised=path)
            kinds = [node.op_type for node in onnx.load(str(path)).graph.node]
        whole = sum("Conv" in kind and "Converter" not in kind for kind in kinds)
        return sum(kind.startswith("QLinearConv") for kind in kinds) / whole if whole else 0.0

    def activations(self, images: Floats) -> dict[str, Floats]:
        """Nothing: a quantised layer is not the layer that it was."""
        return {}


def quantised(plain: bytes, model: Deployable, per_channel: bool) -> bytes:
    """The graph with quantised convolutions and products (QDQ, int8 weights and activations)."""
    import onnx
    from onnxruntime.quantization import quantize_static

    logger = logging.getLogger()
    level = logger.level
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, FILE)
        logger.setLevel(logging.ERROR)  # it advises a preparation that folds what is folded here
        try:
            quantize_static(
                onnx.load_model_from_string(plain),
                path,
                _reader(model.calibration()),
                per_channel=per_channel,
            )
        finally:
            logger.setLevel(level)
        return path.read_bytes()


def speed_ratio(plain: bytes, int8: bytes, resolution: int) -> dict[str, Any]:
    """Median seconds of fp32 over those of int8, in rounds that alternate; above 1, int8 is
    faster."""
    import numpy as np

    sessions = [session_of(raw, threads=1) for raw in (plain, int8)]
    images = np.zeros((1, 3, resolution, resolution), np.float32)
    for session in sessions:
        for _ in range(WARM_UP):
            session.run(None, {IMAGES: images})
    times: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        for session, taken in zip(sessions, times, strict=True):
            began = time.perf_counter()
            for _ in range(RUNS):
                session.run(None, {IMAGES: images})
            taken.append((time.perf_counter() - began) / RUNS)
    fp32, quick = (median(taken) for taken in times)
    return {
        "ratio": fp32 / quick,
        "fp32_ms": 1000 * fp32,
        "int8_ms": 1000 * quick,
        "batch": 1,
        "threads": 1,
        "rounds": ROUNDS,
    }


def _top1(raw: bytes, model: Deployable) -> float:
    """Accuracy on `select` in percent."""
    session, right, images = session_of(raw), 0, 0
    for batch, labels in model.select():
        (logits,) = session.run(None, {IMAGES: batch.numpy()})
        right += int((logits.argmax(1) == labels.numpy()).sum())
        images += len(labels)
    return 100.0 * right / max(images, 1)


def _reader(batches: Iterator[Tensor]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # untyped library
        def get_next(self) -> dict[str, Any] | None:
            batch = next(batches, None)
            return None if batch is None else {IMAGES: batch.numpy()}

    return Reader()
