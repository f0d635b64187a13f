"""Checkpoints on disk: written atomically, the newest two kept, tensors and plain values only.

A file ends with the SHA-256 of its content, so that corruption is detected.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ofa_bench.atomic_io import make_folder, refuse_links, write_whole
from ofa_bench.errors import ResumeError
from ofa_bench.limits import advice, limit
from ofa_bench.locks import exclusive
from ofa_bench.sanitize import plain_text

KEPT = 2
SEAL = b"\nofa-bench checkpoint, sha256 "
SEALED = len(SEAL) + 64
# What torch and the checks of a resume raise on invalid content.
DAMAGED: tuple[type[Exception], ...] = (
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    RuntimeError,
    ArithmeticError,
    EOFError,
    AssertionError,
    pickle.UnpicklingError,
)
UNREADABLE: tuple[type[Exception], ...] = (OSError, *DAMAGED)


class Checkpoints:
    """The checkpoints of one run's folder."""

    def __init__(self, folder: Path, seconds: float, *, exactly: bool = False) -> None:
        self.folder = folder
        self._seconds, self._exactly = seconds, exactly
        # The first checkpoint comes early, so that a run that is killed often still progresses.
        early = 0.0 if exactly else seconds - min(1.0, seconds)
        self._last = time.monotonic() - early
        self._cost = 0.0

    @property
    def due(self) -> bool:
        """Whether the interval since the last checkpoint has passed."""
        return time.monotonic() - self._last >= self.interval

    @property
    def interval(self) -> float:
        """Seconds between checkpoints: at least 50 times their cost, unless the user set it."""
        return float(max(self._seconds, 0.0 if self._exactly else 50 * self._cost))

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write the state after `step` completed updates."""
        began = time.monotonic()
        path = self.folder / f"{step:09d}.pt"
        write_whole(path, serialized(state))
        for old in self._files()[:-KEPT]:
            old.unlink(missing_ok=True)
        self._last = time.monotonic()
        self._cost = self._last - began

    def load(
        self,
        run_id: str,
        device: torch.device,
        apply: Callable[[dict[str, Any]], None] = lambda state: None,
        tell: Callable[[str], None] = lambda text: None,
    ) -> dict[str, Any] | None:
        """The newest valid checkpoint after `apply`, or None if there is none.

        `apply` raises any of DAMAGED on invalid content; the older checkpoint is then tried.
        Raises ResumeError if one belongs to another run or all are damaged.
        """
        files = self._files()
        for path in reversed(files):
            try:
                state = deserialized(path, device)
            except UNREADABLE as error:
                tell(f"{path} is damaged and is ignored: {shown(error)}")
                continue
            if state.get("run_id") != run_id:
                raise ResumeError(
                    f"{path} is of run {str(state.get('run_id'))[:12]}, not {run_id[:12]}",
                    "its recipe, data or plugins differ; start anew with --fresh",
                )
            try:
                if state.get("step") != int(path.stem):
                    raise ValueError(f"it is of step {state.get('step')}")
                apply(state)
            except torch.OutOfMemoryError:
                raise
            except DAMAGED as error:
                tell(f"{path} has invalid content and is ignored: {shown(error)}")
                continue
            return state
        if files:
            raise ResumeError(
                f"no checkpoint in {self.folder} can be used", "start anew with --fresh"
            )
        return None

    def copy_newest(self, path: Path) -> None:
        """Copy the newest checkpoint to a path that is not rotated."""
        write_whole(path, self._files()[-1].read_bytes())

    def clear(self) -> None:
        for path in self._files():
            path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]*.pt"))


def serialized(state: dict[str, Any]) -> bytes:
    """The bytes of a checkpoint file, with their hash at the end. Serialised in memory, since torch
    reports a full disk as an error of another type."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    digest = hashlib.sha256(buffer.getbuffer()).hexdigest()
    buffer.seek(0, io.SEEK_END)
    buffer.write(SEAL + digest.encode())
    return buffer.getvalue()


def deserialized(path: Path, device: torch.device) -> dict[str, Any]:
    """The state in a checkpoint file. Raises OSError or any of DAMAGED if it is invalid."""
    about = path.lstat()
    if not stat.S_ISREG(about.st_mode):
        raise ValueError("it is a link, or no regular file")
    if about.st_size > limit("checkpoint-bytes"):
        raise ResumeError(
            f"{path} holds {about.st_size:,} bytes", advice("checkpoint-bytes", about.st_size)
        )
    raw = path.read_bytes()
    body = memoryview(raw)[:-SEALED]
    if raw[-SEALED:] != SEAL + hashlib.sha256(body).hexdigest().encode():
        raise ValueError("its bytes are not those that were written")
    state = torch.load(io.BytesIO(body), map_location=device, weights_only=True)
    if not isinstance(state, dict):
        raise ValueError("it holds no state")
    return state


def shown(error: BaseException) -> str:
    """The first line of an error message."""
    return plain_text((str(error) or type(error).__name__).splitlines()[0])


@contextmanager
def lock(folder: Path, tell: Callable[[str], None] | None = None) -> Iterator[None]:
    """Lock a run's folder. Raises BenchError if another process holds it or it cannot be written.

    On a file system without locks the run continues without one and `tell` reports it. No symbolic
    link in the folder, or between it and the results folder, is followed.
    """
    make_folder(folder.parents[1], folder)
    refuse_links(folder)
    with exclusive(folder / "lock", wait=False, subject=str(folder), tell=tell):
        yield
