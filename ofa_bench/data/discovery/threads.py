"""Threads that read files. Torch-free."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.pool import ThreadPool

MOST = 8


@contextmanager
def reading_threads() -> Iterator[ThreadPool]:
    """A thread pool whose threads are joined when the block ends, also by an exception.

    `ThreadPool` itself leaves them running. At process exit they would be killed inside a library,
    which aborts the process with exit code 134 instead of the one for an interruption.
    """
    pool = ThreadPool(min(MOST, os.cpu_count() or 1))
    try:
        yield pool
    finally:
        pool.terminate()
        pool.join()
