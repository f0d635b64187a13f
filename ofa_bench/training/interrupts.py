"""Graceful shutdown: SIGINT, SIGTERM, SIGHUP and SIGUSR1 set a flag that the loop checks after
each micro-batch. A SIGHUP that was ignored at the start (nohup) stays so."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType

from ofa_bench.errors import Interrupted
from ofa_bench.processes import STOP_SIGNALS


class StopRequest(BaseException):
    """A signal came where work may be cut off anywhere. Decoders, loaders and plugins catch any
    Exception and would go on, or blame a file for it; `Stop` makes it Interrupted further out."""


class Stop:
    """The stop flag. A signal sets it, and raises Interrupted unless `gentle`, or `ending`: the
    state is saved already, as another rank was asked first."""

    def __init__(self) -> None:
        self.requested = False
        self.gentle = False
        self.ending = False
        self.hint = ""

    def __call__(self) -> bool:
        return self.requested

    def ask(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        self.requested = True
        if not (self.gentle or self.ending):
            raise StopRequest

    def check(self) -> None:
        """Raise Interrupted if somebody asked to stop: a signal that comes while Python calls a
        finalizer is heard, and what it raises there is lost."""
        if self.requested:
            raise Interrupted("interrupted", self.hint)

    @contextmanager
    def gently(self, gentle: bool = True) -> Iterator[None]:
        """Set `gentle` while the block runs, for code that must not be interrupted."""
        before, self.gentle = self.gentle, gentle
        try:
            if not gentle:
                self.check()
            yield
        except StopRequest as request:
            raise Interrupted("interrupted", self.hint) from request
        finally:
            self.gentle = before

    def anywhere(self) -> AbstractContextManager[None]:
        """A stretch that may be cut off anywhere, and then raises Interrupted."""
        return self.gently(False)


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
    except StopRequest as request:
        raise Interrupted("interrupted", stop.hint) from request
    finally:
        stop.gentle = True  # it is over anyway
        for kind, handler in before.items():
            signal.signal(kind, handler)
