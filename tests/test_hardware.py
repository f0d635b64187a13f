"""What the machine is asked."""

from __future__ import annotations

import subprocess
import sys

import numpy

from ofa_bench.hardware import peak_memory

MANY = 400 * 2**20
CHILD = "from ofa_bench.hardware import peak_memory; print(peak_memory())"


def test_peak_is_this_process_own() -> None:
    held = numpy.ones(MANY, dtype=numpy.uint8)
    assert peak_memory() >= held.nbytes
    child = subprocess.run([sys.executable, "-c", CHILD], check=True, capture_output=True)
    assert 2**20 < int(child.stdout) < MANY // 2
