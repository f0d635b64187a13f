"""Processor names and peak memory, read from the operating system. Torch-free."""

from __future__ import annotations

import math
import os
import platform
import sys
from contextlib import suppress
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


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


def usable_cores() -> int:
    """Processor cores for each process of this machine's run: those that this process may run on,
    within the limit of its container (cgroup), divided by the ranks beside it under `torchrun`."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    ranks = os.environ.get("LOCAL_WORLD_SIZE", "1")
    beside = int(ranks) if ranks.isdecimal() and int(ranks) else 1
    limit = _cgroup_cores()
    return max(1, (cores if limit == math.inf else min(cores, math.ceil(limit))) // beside)


def usual_workers(gpu: bool) -> int:
    """Processes that load images where nobody says how many.

    Beside a GPU all usable cores but one, at most 8. On a CPU training takes all cores and waits
    for few images: 2.
    """
    return max(1, min(8, usable_cores() - 1)) if gpu else 2


def _cgroup_cores(proc: Path = Path("/proc/self/cgroup"), root: Path = CGROUPS) -> float:
    """Cores that the container's limit allows (cgroup v2 or v1); infinity without a limit."""
    least = math.inf
    with suppress(OSError, ValueError):
        for line in _lines(proc):
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            base = root / controllers if controllers else root
            inner = base / path.lstrip("/")
            for folder in (inner, *inner.parents):
                least = min(least, _quota(folder))
                if folder == base:
                    break
    return least


def _quota(folder: Path) -> float:
    """A control group's own limit, in cores."""
    with suppress(OSError, ValueError):
        if (folder / "cpu.max").is_file():
            quota, period = _lines(folder / "cpu.max")[0].split()
        else:
            quota = _lines(folder / "cpu.cfs_quota_us")[0]
            period = _lines(folder / "cpu.cfs_period_us")[0]
        if int(quota) > 0 and int(period) > 0:  # "max" and -1 are no limit
            return int(quota) / int(period)
    return math.inf


def on_gpu(device: str | None) -> bool:
    """Whether a run with this `--device` value will use a GPU, judged by the driver alone."""
    if device in (None, "auto"):
        if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
            return False
        return Path("/proc/driver/nvidia/version").exists()
    return str(device).startswith("cuda")
