"""Processor names and peak memory, read from the operating system. Torch-free."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path


def cpu_model() -> str:
    """The CPU's model name."""
    if sys.platform == "linux":
        try:
            for line in _lines("/proc/cpuinfo"):
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
        except OSError:
            pass
    return platform.processor() or platform.machine()


def cpu_governor() -> str | None:
    """What sets the first core's clock (Linux cpufreq); None where the system does not tell."""
    try:
        return " ".join(_lines("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"))[:100]
    except OSError:
        return None


def cpu_clock() -> float | None:
    """The first core's clock in MHz at this moment (Linux); None where the system does not tell."""
    try:
        for line in _lines("/proc/cpuinfo"):
            if line.startswith("cpu MHz"):
                return float(line.partition(":")[2]) or None
    except (OSError, ValueError):
        pass
    return None


def gpu_model() -> str | None:
    """The first NVIDIA GPU's model name as its driver reports it; None without one."""
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for line in _lines(path):
            if line.startswith("Model:"):
                return line.partition(":")[2].strip()
    return None


def peak_memory() -> int:
    """Peak resident memory of this process in bytes.

    On Linux read from /proc, since `getrusage` also counts the peak of the parent process.
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
    """Lines of a system file; a truncated name may end inside a UTF-8 character."""
    return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()


def on_gpu(device: str | None) -> bool:
    """Whether a run with this `--device` value will use a GPU, judged by the driver alone."""
    if device in (None, "auto"):
        if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
            return False
        return Path("/proc/driver/nvidia/version").exists()
    return str(device).startswith("cuda")
