"""The training cost of a run, one row per phase: passes, MACs, seconds, memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from typing import Any

from ofa_bench.draws import Draw, Role
from ofa_bench.planning.cost_model import FORWARD_ONLY, TRAINED_PASS
from ofa_bench.space import Space, Subnet

MOST_RANKS = 1_000_000


@dataclass
class PhaseLedger:
    """The cost of one phase. Seconds include steps lost to a kill, `device_seconds` those of all
    ranks; passes count subnets × images; MACs are counted as if subnets shared no computation."""

    name: str
    steps: int = 0
    images: int = 0
    passes: dict[str, int] = field(default_factory=dict)
    macs: dict[str, int] = field(default_factory=dict)
    wall_seconds: float = 0.0
    waiting_seconds: float = 0.0
    peak_bytes: int = 0
    device_seconds: float = 0.0


class Ledger:
    """The rows of all phases, and a clock of the training time."""

    def __init__(self, space: Space, classes: int, world: int = 1) -> None:
        self._world = world
        self._macs = lru_cache(maxsize=4096)(partial(space.macs, classes=classes))
        self._since: float | None = None
        self.rows: list[PhaseLedger] = []

    @property
    def row(self) -> PhaseLedger:
        return self.rows[-1]

    def enter(self, phase: str) -> None:
        """Start a phase's row, or continue it after a resume, and start the clock."""
        self.pause()
        if not self.rows or self.row.name != phase:
            self.rows.append(PhaseLedger(phase))
        self._since = time.perf_counter()

    def charge_lost(self, kills: Sequence[tuple[float, int]]) -> float:
        """Add the seconds of training that each kill lost, of so many ranks; return their sum."""
        if self.rows:
            for seconds, world in kills:
                self._spend(seconds, world)
        return sum(seconds for seconds, _ in kills)

    def _spend(self, seconds: float, world: int) -> None:
        self.row.wall_seconds += seconds
        self.row.device_seconds += seconds * world

    def pause(self) -> None:
        """Stop the clock; what follows is not training cost."""
        if self._since is not None:
            self._spend(time.perf_counter() - self._since, self._world)
        self._since = None

    def go_on(self) -> None:
        self._since = time.perf_counter()

    def charge_step(self, draws: Sequence[Draw], images: int) -> None:
        """Add the passes of a completed step."""
        self.row.steps += 1
        self.row.images += images
        for draw in draws:
            self.charge(draw.role, draw.subnet, images)

    def charge(self, role: Role, subnet: Subnet, images: int) -> None:
        """Add a subnet's passes, which are only forward for a teacher or a probe."""
        row, factor = self.row, 1 if role in FORWARD_ONLY else TRAINED_PASS
        row.passes[role.value] = row.passes.get(role.value, 0) + images
        row.macs[role.value] = row.macs.get(role.value, 0) + images * self._macs(subnet) * factor

    def state_dict(self) -> list[dict[str, Any]]:
        """The rows as JSON values, with the clock brought up to date."""
        if self._since is not None:
            self.pause()
            self.go_on()
        return [asdict(row) for row in self.rows]
