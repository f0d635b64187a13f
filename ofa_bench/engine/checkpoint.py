"""A run's state on disk: whole files, the newest two, tensors and plain values only."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ofa_bench.errors import ResumeError
from ofa_bench.files import unwritable, write_whole
from ofa_bench.locks import exclusive

KEPT = 2


class Checkpoints:
    """The checkpoints of one run's folder."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder = folder
        self._seconds = seconds
        # The first one comes early, so that even a run killed again and again gets on.
        self._last = time.monotonic() - seconds + min(1.0, seconds)
        self._cost = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time to write: often, but never for more than a fiftieth of the time."""
        return time.monotonic() - self._last >= max(self._seconds, 50 * self._cost)

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write the state after `step` completed updates."""
        began = time.monotonic()
        path = self.folder / f"{step:09d}.pt"
        write_whole(path, serialized(state))
        for old in self._files()[:-KEPT]:
            old.unlink(missing_ok=True)
        self._last = time.monotonic()
        self._cost = self._last - began

    def load(self, run_id: str, device: torch.device) -> dict[str, Any] | None:
        """The newest readable state, or None if there is none.

        Raises ResumeError where the newest belongs to another run or all are damaged.
        """
        files = self._files()
        for path in reversed(files):
            try:
                state = torch.load(path, map_location=device, weights_only=True)
                assert isinstance(state, dict)
            except Exception:  # torch raises many kinds on damaged files; the older one may do
                continue
            if state.get("run_id") != run_id:
                raise ResumeError(
                    f"{path} is of run {str(state.get('run_id'))[:12]}, not {run_id[:12]}",
                    "its recipe, data or plugins differ; start anew with --fresh",
                )
            return state
        if files:
            raise ResumeError(
                f"no checkpoint in {self.folder} can be read", "start anew with --fresh"
            )
        return None

    def clear(self) -> None:
        """Remove all checkpoints."""
        for path in self._files():
            path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]*.pt"))


def serialized(state: dict[str, Any]) -> bytes:
    """A state as a file's bytes: torch tells a full disk as an error of its own kind."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


@contextmanager
def lock(folder: Path, tell: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold a run's folder; BenchError if another process does, or if it cannot be written.

    Where the file system has no locks the run goes on without one, and `tell` says so.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    with exclusive(folder / "lock", wait=False, subject=str(folder), tell=tell):
        yield
