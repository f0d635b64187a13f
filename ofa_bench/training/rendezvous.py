"""What ranks tell each other through the store of their launcher: that they are there, and which of
them failed first, so that others refer to its error.

The store outlives ranks: under `torchrun --max-restarts` it holds what ranks wrote that are dead by
now, and no variable tells the attempts apart, since nodes count restarts by themselves. So ranks
agree on a token that is new each time, and keep everything else under it.
"""

from __future__ import annotations

import json
import secrets
import socket
import sys
import time
from contextlib import suppress
from typing import Any

from ofa_bench.errors import BenchError, Interrupted, RankFailed

KEY = "failed"
ROUND = "round"
LEFT = "left"
TELL_AFTER = 10.0  # seconds of waiting after which missing ranks are named
GIVE_UP = 1800.0
PATIENCE = 86_400.0  # seconds that a rank may hash or decode while others wait for it
POLL = 0.1
NAMED = 8  # missing ranks that a message names


class Waiting:
    """A wait for other ranks, in short steps that a signal can interrupt."""

    def __init__(self, rank: int, limit: float = GIVE_UP) -> None:
        self._rank, self._limit = rank, limit
        self._began, self._silent = time.monotonic(), True

    def go_on(self, awaited: str, where: str) -> None:
        """Wait a moment. Raises BenchError if that has gone on for too long."""
        waited = time.monotonic() - self._began
        if waited > self._limit:
            raise BenchError(
                f"{awaited} {where} did not come within {self._limit / 60:.0f} minutes",
                "start all ranks; torchrun does on one machine",
            )
        if waited > TELL_AFTER and self._silent:
            self._silent = False
            # Not through the console, which is silent on all ranks but the first.
            with suppress(OSError, ValueError, AttributeError):
                text = f"rank {self._rank} waits for {awaited} {where}\n"
                sys.__stderr__.write(text)  # type: ignore[union-attr]
                sys.__stderr__.flush()  # type: ignore[union-attr]
        time.sleep(POLL)


def met(store: Any, rank: int, world: int, waiting: Waiting) -> str:
    """The token of this round of ranks, once all of them are there.

    A rank writes a number that no earlier one wrote. The first rank lists the numbers of all, and
    lists them anew while they change; a rank that sees its own number in the list is of the same
    round, and the first rank's number is the token.
    """
    number = secrets.token_hex(16)
    store.set(f"joined/{rank}", number)
    here, listed = "", ""
    while True:
        if rank == 0:
            numbers = [_value(store, f"joined/{other}") for other in range(world)]
            if "" not in numbers and (text := json.dumps(numbers)) != listed:
                listed = text
                store.set(ROUND, listed)
            here = number
        elif not here:
            numbers = json.loads(_value(store, ROUND) or "[]")
            here = numbers[0] if len(numbers) == world and numbers[rank] == number else ""
        if here:
            store.set(f"{here}/here/{rank}", "1")
            keys = [f"{here}/here/{other}" for other in range(world)]
        else:
            keys = [f"joined/{other}" for other in range(world)]
        missing = [other for other, key in enumerate(keys) if not store.check([key])]
        if here and not missing:
            return here
        waiting.go_on(*_named(missing or [0], world))


def caught_up(store: Any, rank: int, world: int, turn: int) -> None:
    """Wait until all ranks are at their `turn`-th call of this, as a collective operation would;
    but one that does not run into its time-out, and that a signal ends.

    Raises RankFailed if a rank left the run meanwhile.
    """
    store.set(f"at/{turn}/{rank}", "1")
    waiting, others = Waiting(rank, PATIENCE), set(range(world))
    while others:
        others -= {other for other in others if store.check([f"at/{turn}/{other}"])}
        if others and store.check([LEFT]):
            raise RankFailed(f"rank {_value(store, LEFT)} is gone, so this one stops")
        if others:
            waiting.go_on(*_named(sorted(others), world))


def leave(store: Any, rank: int) -> None:
    """Tell ranks that wait for this one that it will not come."""
    with suppress(RuntimeError):  # the store is gone with the rank that kept it
        store.set(LEFT, str(rank))


def _value(store: Any, key: str) -> str:
    """What is stored, or nothing."""
    return store.get(key).decode() if store.check([key]) else ""


def _named(ranks: list[int], world: int) -> tuple[str, str]:
    first = ", ".join(map(str, ranks[:NAMED])) + ", …" * (len(ranks) > NAMED)
    return f"rank{'s' * (len(ranks) > 1)} {first}", f"of {world}"


def reported(error: Exception, store: Any, rank: int) -> Exception:
    """The error to raise instead of `error`: `error` with this rank's number if no rank failed
    before, else RankFailed.

    An error that all ranks raise together is returned unchanged, and the first rank shows it. So
    is an interruption, unless another rank failed before. Neither it nor RankFailed is kept as the
    first failure: they follow from another rank's, or from a signal.
    """
    if isinstance(error, BenchError) and (error.on_all_ranks or error.rank is not None):
        return error
    interrupted = isinstance(error, Interrupted)
    report = {"rank": rank, "host": socket.gethostname(), **_described(error)}
    first = _first(store, report, write=not isinstance(error, Interrupted | RankFailed))
    if first is None or first["rank"] == rank:
        return error if interrupted else _with_rank(error, rank)
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


def _with_rank(error: Exception, rank: int) -> Exception:
    if isinstance(error, BenchError):
        error.message = f"rank {rank} on {socket.gethostname()}: {error.message}"
    else:
        error.add_note(f"on rank {rank} of {socket.gethostname()}")
    error.rank = rank  # type: ignore[attr-defined]
    return error
