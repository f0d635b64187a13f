"""Graceful shutdown: SIGINT, SIGTERM, SIGHUP and SIGUSR1 set a flag that the loop checks after
each micro-batch. A SIGHUP that was ignored at the start (nohup) stays so."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ofa_bench.errors import Interrupted
from ofa_bench.processes import STOP_SIGNALS


class Stop:
    """The stop flag. A signal sets it, and raises Interrupted unless `gentle`."""

    def __init__(self) -> None:
        self.requested = False
        self.gentle = False
        self.hint = ""

    def __call__(self) -> bool:
        return self.requested

    def ask(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        self.requested = True
        if not self.gentle:
            raise Interrupted("interrupted", self.hint)

    @contextmanager
    def gently(self, gentle: bool = True) -> Iterator[None]:
        """Set `gentle` while the block runs, for code that must not be interrupted."""
        before, self.gentle = self.gentle, gentle
        try:
            if self.requested and not gentle:
                raise Interrupted("interrupted", self.hint)
            yield
        finally:
            self.gentle = before


@contextmanager
def listening() -> Iterator[Stop]:
    """Handle the signals while the block runs; in a thread other than the main one, do nothing."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    kinds = [kind for kind in STOP_SIGNALS if not (nohup and kind == signal.SIGHUP)]
    before = {kind: signal.signal(kind, stop.ask) for kind in kinds}
    try:
        yield stop
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
