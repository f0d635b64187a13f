"""Processor names and peak memory, read from the operating system. Torch-free."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path


def cpu_model() -> str:
    return _value("/proc/cpuinfo", "model name") or platform.processor() or platform.machine()


def cpu_governor() -> str | None:
    """What sets the first core's clock (Linux cpufreq); None where the system does not tell."""
    lines = _lines("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return " ".join(lines)[:100] or None


def cpu_clock() -> float | None:
    """The first core's clock in MHz at this moment (Linux); None where the system does not tell."""
    try:
        return float(_value("/proc/cpuinfo", "cpu MHz")) or None
    except ValueError:
        return None


def gpu_model() -> str | None:
    """The first NVIDIA GPU's model name as its driver reports it; None without one."""
    files = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    return next(filter(None, (_value(path, "Model") for path in files)), None)


def peak_memory() -> int:
    """Peak resident memory of this process in bytes.

    On Linux read from /proc, since `getrusage` also counts the peak of the parent process.
    """
    if kibibytes := _value("/proc/self/status", "VmHWM").split():
        return int(kibibytes[0]) * 1024
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _value(path: str | Path, name: str) -> str:
    """What a system file says behind a name and a colon, at its first line that begins so; empty
    where there is none."""
    lines = (line for line in _lines(path) if line.startswith(name))
    return next(lines, "").partition(":")[2].strip()


def _lines(path: str | Path) -> list[str]:
    """Lines of a system file, none where it is absent; a truncated name may end inside a UTF-8
    character."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def on_gpu(device: str | None) -> bool:
    """Whether a run with this `--device` value will use a GPU, judged by the driver alone."""
    if device in (None, "auto"):
        if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
            return False
        return Path("/proc/driver/nvidia/version").exists()
    return str(device).startswith("cuda")
