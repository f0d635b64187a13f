"""TensorBoard event files in the run's folder."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ofa_bench import RunView
from ofa_bench_trackers.tracker import Tracker


class TensorBoard(Tracker):
    """`tensorboard --logdir results/runs` shows all runs side by side."""

    library = "tensorboard"

    def begin(self, run: RunView) -> None:
        """The writer is made with the first numbers, which say where a resumed run goes on."""
        self._folder = run.folder / "tensorboard"
        self._writer: Any = None

    def tell(self, step: int, numbers: Mapping[str, float]) -> None:
        """Scalars, each an event; a new session purges what lies beyond its first step."""
        from tensorboard.compat.proto.event_pb2 import SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        if self._writer is None:
            self._writer = EventFileWriter(str(self._folder))
            self._add(step, session_log=SessionLog(status=SessionLog.START))
        values = [Summary.Value(tag=name, simple_value=value) for name, value in numbers.items()]
        self._add(step, summary=Summary(value=values))

    def end(self) -> None:
        self._writer.close()

    def _add(self, step: int, **what: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._writer.add_event(Event(wall_time=time.time(), step=step, **what))
        self._writer.flush()
