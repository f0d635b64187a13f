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


def usable_cores() -> int:
    """Processor cores for each process of this machine's run: those that this process may run on,
    within the limit of its container (cgroup), divided by the processes that train beside it,
    under `torchrun` or with `--devices`."""
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
    with suppress(OSError, ValueError, IndexError):
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
