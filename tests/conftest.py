"""One thread for all tests and the processes they start: their nets are too small for two, and two
threads that wait for each other on a busy machine make seconds into minutes."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
