"""Threads that read files. Torch-free."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.pool import ThreadPool

MOST = 8


@contextmanager
def reading_threads() -> Iterator[ThreadPool]:
    """A pool whose threads have ended when the block has, however it ends.

    `ThreadPool` itself leaves them running. At the end of the process they would be cut off inside
    a library, which aborts it: exit code 134 in place of the one that says "interrupted".
    """
    pool = ThreadPool(min(MOST, os.cpu_count() or 1))
    try:
        yield pool
    finally:
        pool.terminate()
        pool.join()
