"""What machine this is, and the choices made on it that could change bits."""

from __future__ import annotations

import os
import platform
from typing import Any

import torch

from ofa_bench.engine.devices import Devices
from ofa_bench.hardware import cpu_model


def describe(devices: Devices) -> dict[str, Any]:
    """The machine as a record tells it."""
    gpu = torch.cuda.get_device_name(devices.device) if devices.device.type == "cuda" else None
    return {
        "device": devices.device.type,
        "cpu": cpu_model(),
        "gpu": gpu,
        "gpus": devices.world if gpu else 0,
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "memory_format": "channels_last",
        "allocator": os.environ.get("OFA_BENCH_ALLOCATOR", "default"),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "details": {"world": devices.world},
    }
