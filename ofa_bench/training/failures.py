"""Error reporting across ranks: the first rank that fails reports the error, others refer to it."""

from __future__ import annotations

import json
import socket
from typing import Any

from ofa_bench.errors import BenchError, Interrupted, RankFailed

KEY = "failed"


def reported(error: Exception, store: Any, rank: int) -> Exception:
    """The error to raise instead of `error`: `error` with this rank's number if no rank failed
    before, else RankFailed.

    An error that all ranks raise together is returned unchanged, and the first rank shows it. So
    is an interruption, unless another rank failed before.
    """
    if isinstance(error, BenchError) and (error.on_all_ranks or error.rank is not None):
        return error
    interrupted = isinstance(error, Interrupted)
    report = {"rank": rank, "host": socket.gethostname(), **_described(error)}
    first = _first(store, report, write=not interrupted)
    if first is None or first["rank"] == rank:
        return error if interrupted else _named(error, rank)
    message = f"rank {first['rank']} on {first['host']} failed, see above: {first['message']}"
    failed = RankFailed(message, str(first["hint"]))
    failed.exit_code = int(first["code"])
    return failed


def _described(error: Exception) -> dict[str, Any]:
    if isinstance(error, BenchError):
        return {"message": error.message, "hint": error.hint, "code": error.exit_code}
    return {"message": f"{type(error).__name__}: {error}", "hint": "", "code": 1}


def _first(store: Any, report: dict[str, Any], write: bool) -> dict[str, Any] | None:
    """The first report in the store, which is this one if there was none; None without a store."""
    if store is None:
        return None
    try:
        if not write:
            return dict(json.loads(store.get(KEY))) if store.check([KEY]) else None
        return dict(json.loads(store.compare_set(KEY, "", json.dumps(report))))
    except (RuntimeError, ValueError):  # the store is gone with the rank that kept it
        return None


def _named(error: Exception, rank: int) -> Exception:
    if isinstance(error, BenchError):
        error.message = f"rank {rank} on {socket.gethostname()}: {error.message}"
    else:
        error.add_note(f"on rank {rank} of {socket.gethostname()}")
    error.rank = rank  # type: ignore[attr-defined]
    return error
