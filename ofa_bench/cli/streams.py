"""Output that outlives its reader: what is written to a closed pipe or a lost terminal is dropped,
so that a dead reader never ends a training run."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any

GONE = (errno.EPIPE, errno.EIO, errno.ENXIO, errno.EBADF, errno.ENOTCONN, errno.ECONNRESET)


class Outlet(io.FileIO):
    """A descriptor that leads nowhere once its reader is gone or its disk is full.

    A full disk is an error on stdout, which carries answers, and is not one on stderr.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self.lost = False

    def write(self, data: Any, /) -> int:
        """Bytes written or dropped; OSError once, where an answer cannot be stored."""
        try:
            return super().write(data)
        except BlockingIOError:
            raise
        except OSError as error:
            self.lost = True
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            if error.errno not in GONE and self.fileno() == 1:
                raise
            return memoryview(data).nbytes


def outlive_streams() -> None:
    """Replace this process's stdout and stderr by ones that outlive their readers; a process that
    was started without one talks to nobody. Streams that a caller has replaced stay."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, io.StringIO())
        elif stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):
            setattr(sys, name, _outliving(stream, descriptor))


def _outliving(stream: io.TextIOWrapper, descriptor: int) -> io.TextIOWrapper:
    if isinstance(getattr(stream.buffer, "raw", None), Outlet) or stream.fileno() != descriptor:
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(Outlet(descriptor)),
        encoding=stream.encoding,
        errors="replace",
        line_buffering=stream.line_buffering or descriptor == 2,
    )


def tell_terminal(text: str) -> None:
    """A text on the terminal itself, where stderr leads nowhere any more: after Ctrl-C, `tee` dies
    before the run has said how to go on."""
    raw = getattr(getattr(sys.stderr, "buffer", None), "raw", None)
    if not (isinstance(raw, Outlet) and raw.lost):
        return
    try:
        with open("/dev/tty", "w", encoding="utf-8", errors="replace") as terminal:
            terminal.write(text + "\n")
    except OSError:
        return  # no terminal either, so there is nobody to tell
