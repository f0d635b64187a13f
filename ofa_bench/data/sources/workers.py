"""Worker processes that load images. They end with their stream or their parent process; an error
says how a worker died."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, TypeVar

from torch.utils.data import DataLoader
from torch.utils.data._utils import signal_handling

from ofa_bench.errors import DataError
from ofa_bench.processes import end_with_parent, stop_signals_blocked

T = TypeVar("T")
LOST = (RuntimeError, ConnectionError, EOFError)
"""What a loader raises if a worker's queue or socket breaks."""
JOIN = 5.0  # seconds to wait for a killed process
REPORTED = 2.0  # seconds within which the end of a worker is reported


def loaded(loader: DataLoader[T]) -> Generator[T]:
    """All batches of a loader. Its workers are stopped when the generator is closed or fails.

    Raises DataError if a worker died.
    """
    with _started():
        batches: Any = iter(loader)
    try:
        yield from batches
    except LOST as error:
        if not (_dies(batches) or "DataLoader worker" in str(error)):
            raise
        raise DataError(
            f"a process that loads images {_ending(batches)}",
            "use fewer --workers, or --workers 0; they need shared memory (/dev/shm) and RAM",
        ) from error
    finally:
        _end(batches)


def initialise(worker: int) -> None:
    """Initialise a worker, in which the signals of the process group are already blocked."""
    sys.excepthook = _without_the_lost
    if hasattr(signal, "sigtimedwait"):
        end_with_parent()
    else:  # torch ends a worker at SIGTERM, and looks for the parent every five seconds
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _without_the_lost(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Errors of a worker's helper threads, but for a socket that broke as the run was killed."""
    if not isinstance(error, (ConnectionError, EOFError)):
        sys.__excepthook__(kind, error, trace)


@contextmanager
def _started() -> Iterator[None]:
    """Start the workers without the loader's SIGCHLD handler, which could raise in a hook or during
    an update; the stream raises when it next waits for a batch."""
    with stop_signals_blocked():
        before = signal.getsignal(signal.SIGCHLD)
        try:
            yield
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGCHLD, signal.SIG_DFL if before is None else before)


def _dead(batches: Any) -> list[Any]:
    return [worker for worker in getattr(batches, "_workers", ()) if worker.exitcode]


def _dies(batches: Any) -> bool:
    """Whether a worker is dead. Its socket breaks before the kernel reports its end."""
    end = time.monotonic() + REPORTED
    while not (dead := _dead(batches)) and time.monotonic() < end:
        time.sleep(0.02)
    return bool(dead)


def _ending(batches: Any) -> str:
    codes = [worker.exitcode for worker in _dead(batches)]
    if -signal.SIGKILL in codes:
        return "was killed, as the kernel does when memory runs out"
    if -signal.SIGBUS in codes:
        return "died of a bus error, as it does when shared memory runs out"
    return f"died (exit code {codes[0]})" if codes else "died"


def _end(batches: Any) -> None:
    """Kill the workers, which have no state to save. The loader's shutdown can wait for locks of a
    killed worker, and for workers that wait for a disk."""
    workers = getattr(batches, "_workers", None)
    if workers is None or batches._shutdown:
        return
    batches._shutdown = True
    handling: Any = signal_handling
    handling._remove_worker_pids(id(batches))
    batches._worker_pids_set = False
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.join(JOIN)
    if hasattr(batches, "_pin_memory_thread_done_event"):
        batches._pin_memory_thread_done_event.set()
    for queue in batches._index_queues:
        with suppress(OSError, ValueError):
            queue.cancel_join_thread()
            queue.close()
