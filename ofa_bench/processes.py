"""Child processes: they end with their parent and ignore stop signals. Torch-free.

A terminal, a scheduler or `timeout` signals the whole process group; only the parent handles the
signal, since it has to save its state first.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from multiprocessing import parent_process
from multiprocessing.connection import wait

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
LOOK_EVERY = 1.0  # seconds between looks at whether the parent still lives


def other_rank() -> bool:
    """Whether this is a rank other than 0 of several; RANK without WORLD_SIZE is ignored."""
    return several_ranks() and os.environ.get("RANK", "0") != "0"


def several_ranks() -> bool:
    """Whether a launcher started several ranks."""
    world = os.environ.get("WORLD_SIZE", "")
    return world.isdecimal() and int(world) > 1


@contextmanager
def stop_signals_blocked() -> Iterator[None]:
    """Block stop signals; child processes started inside the block keep them blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """In a helper without state: exit when the parent has ended or sends SIGTERM.

    SIGTERM from another process is ignored. It must be blocked, as under `stop_signals_blocked`.
    """
    threading.Thread(target=_exit_when_asked, args=(os.getppid(),), daemon=True).start()


def _exit_when_asked(born_of: int) -> None:
    parent = parent_process()
    while os.getppid() == born_of and (parent is None or parent.is_alive()):
        received = signal.sigtimedwait({signal.SIGTERM}, LOOK_EVERY)
        if received is not None and received.si_pid in (born_of, parent.pid if parent else born_of):
            break
    os._exit(0)


@cache
def stop_with_parent() -> None:
    """In a training process: raise SIGTERM when the parent has ended, so that it saves its state
    and stops."""
    threading.Thread(target=_terminate_when_alone, args=(os.getppid(),), daemon=True).start()


def _terminate_when_alone(born_of: int) -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
    while parent is None and os.getppid() == born_of:
        time.sleep(LOOK_EVERY)
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
