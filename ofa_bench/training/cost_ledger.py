"""What a run cost: one row a phase, everything a user pays for, nothing twice."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ofa_bench.draws import Draw, Role
from ofa_bench.planning.cost_model import FORWARD_ONLY, TRAINED_PASS
from ofa_bench.space import Space, Subnet


@dataclass
class PhaseLedger:
    """One phase's row. Seconds are of all its steps, those lost to a kill included; passes count
    subnets × images; MACs are counted as if nothing were shared."""

    name: str
    steps: int = 0
    images: int = 0
    passes: dict[str, int] = field(default_factory=dict)
    macs: dict[str, int] = field(default_factory=dict)
    wall_seconds: float = 0.0
    waiting_seconds: float = 0.0
    peak_bytes: int = 0

    def add(self, role: Role, images: int, macs: int) -> None:
        """Charge `images` passes of a subnet of `macs` per image."""
        cost = images * macs * (1 if role in FORWARD_ONLY else TRAINED_PASS)
        self.passes[role.value] = self.passes.get(role.value, 0) + images
        self.macs[role.value] = self.macs.get(role.value, 0) + cost


class Ledger:
    """Rows by phase, and the clock that runs while training does."""

    def __init__(self, space: Space, classes: int) -> None:
        self._space, self._classes = space, classes
        self._macs: dict[Subnet, int] = {}
        self._since: float | None = None
        self.rows: list[PhaseLedger] = []

    @property
    def row(self) -> PhaseLedger:
        """The current phase's row."""
        return self.rows[-1]

    def enter(self, phase: str) -> None:
        """Begin a phase's row, or go on with it after a resume."""
        self.pause()
        if not self.rows or self.row.name != phase:
            self.rows.append(PhaseLedger(phase))
        self._since = time.perf_counter()

    def charge_lost(self, seconds: float) -> None:
        """Training that a kill threw away was paid for all the same."""
        if self.rows:
            self.row.wall_seconds += seconds

    def pause(self) -> None:
        """Stop the clock: what follows stands beside the training cost, not in it."""
        if self._since is not None:
            self.row.wall_seconds += time.perf_counter() - self._since
        self._since = None

    def go_on(self) -> None:
        """Start the clock again."""
        self._since = time.perf_counter()

    def charge(self, draws: Sequence[Draw], images: int) -> None:
        """A completed step's passes."""
        self.row.steps += 1
        self.row.images += images
        for draw in draws:
            self.row.add(draw.role, images, self.cost(draw.subnet))

    def charge_forward(self, role: Role, subnet: Subnet, images: int) -> None:
        """A teacher's or a probe's passes."""
        self.row.add(role, images, self.cost(subnet))

    def cost(self, subnet: Subnet) -> int:
        """MACs per image; the ends of the space come again in every step."""
        if subnet not in self._macs:
            if len(self._macs) > 4096:
                self._macs.clear()
            self._macs[subnet] = self._space.macs(subnet, self._classes)
        return self._macs[subnet]

    def state_dict(self) -> list[dict[str, Any]]:
        """The rows, with the running clock read."""
        running = self._since is not None
        self.pause()
        if running:
            self.go_on()
        return [asdict(row) for row in self.rows]
