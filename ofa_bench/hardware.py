"""What this machine calls its processors, asked of the system alone. Torch-free."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path


def cpu_model() -> str:
    """The processor's name, as it calls itself."""
    if sys.platform == "linux":
        try:
            for line in _lines("/proc/cpuinfo"):
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
        except OSError:
            pass
    return platform.processor() or platform.machine()


def gpu_model() -> str | None:
    """The first NVIDIA GPU's name, as its driver tells it; None where there is none."""
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for line in _lines(path):
            if line.startswith("Model:"):
                return line.partition(":")[2].strip()
    return None


def peak_memory() -> int:
    """The most bytes of memory this process has held.

    Linux's `getrusage` would tell the peak of the process that started this one, if it was larger.
    """
    try:
        for line in _lines("/proc/self/status"):
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # no Linux
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _lines(path: str | Path) -> list[str]:
    """The system's own lines; names in them may be cut within a letter."""
    return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()


def on_gpu(device: str | None) -> bool:
    """Whether a run asked for like this will compute on a GPU, as far as the driver tells."""
    if device in (None, "auto"):
        if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
            return False
        return Path("/proc/driver/nvidia/version").exists()
    return str(device).startswith("cuda")
