"""Everything a run changes while it trains, and how that is saved and taken up again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ofa_bench.atomic_io import write_whole
from ofa_bench.data.sources.batch import MicroBatch
from ofa_bench.data.sources.source import BatchSource
from ofa_bench.draws import Draw, Role
from ofa_bench.errors import MisfitError, ResumeError
from ofa_bench.hooks.hookspecs import RunView, Snapshot
from ofa_bench.losses import Losses
from ofa_bench.nets.order import apply
from ofa_bench.nets.protocol import SortsChannels, decays
from ofa_bench.planning.assemble import Assembly
from ofa_bench.planning.shared_prefix import Shared
from ofa_bench.schedule import Phase, Step
from ofa_bench.space import Subnet
from ofa_bench.training import restore as restoring
from ofa_bench.training.callbacks import Progress
from ofa_bench.training.checkpoint import (
    DAMAGED,
    UNREADABLE,
    Checkpoints,
    deserialized,
    serialized,
    shown,
)
from ofa_bench.training.cost_ledger import Ledger
from ofa_bench.training.cuda.graphs import Blocks, blocks_of
from ofa_bench.training.devices import Devices
from ofa_bench.training.gradients import FlatGradients
from ofa_bench.training.interrupts import Stop
from ofa_bench.training.optimizer import Optimizer
from ofa_bench.training.precision import autocast
from ofa_bench.training.teacher import FrozenTeacher
from ofa_bench.training.weights import load_weights


@dataclass
class State:
    """The network, its optimizer, teachers and ledger, at `cursor` completed steps."""

    assembly: Assembly
    devices: Devices
    net: Any
    source: BatchSource
    folder: Path
    run_id: str
    checkpoints: Checkpoints
    ledger: Ledger
    stop: Stop
    progress: Progress
    curve_points: list[dict[str, Any]] = field(default_factory=list)
    given: FrozenTeacher | None = None
    shared: Shared | None = None
    prefix: str | None = None
    cursor: int = 0
    saved: int = 0
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        science = self.assembly.science
        named = dict(self.net.named_parameters())
        self.gradients = FlatGradients(named.items())
        self.optimizer = Optimizer(science.optim, named, decays)
        self.criterion = Losses(science.optim.label_smoothing)
        self.teachers: dict[str, FrozenTeacher] = {}
        self._bad = torch.zeros((), dtype=torch.bool, device=self.devices.device)
        merges = self.assembly.bus.merges
        if merges and science.precision == "fp16":
            raise MisfitError(
                "gradients that an extra merges cannot be scaled", "use --precision bf16 or fp32"
            )
        self.scaler = (
            torch.amp.GradScaler(self.devices.device.type) if science.precision == "fp16" else None
        )
        needs = self.assembly.recipe.policies["distill"].needs
        self.shares_prefixes = not merges and needs <= {Role.LARGEST}
        self.blocks = self._over(self.net)

    @property
    def autocast(self) -> Callable[[], AbstractContextManager[object]]:
        """The context blocks run under."""
        return autocast(self.assembly.science.precision, self.devices)

    def _over(self, net: Any) -> Blocks:
        """How blocks run: the network's, and a teacher's."""
        merges = bool(self.assembly.bus.merges)
        return blocks_of(net, self.devices.device, self.autocast, merges)

    def view(self) -> RunView:
        """What observers may know."""
        science = self.assembly.science.model_dump(mode="json")
        space, schedule = self.assembly.space, self.assembly.schedule
        ranges = self.gradients.ranges
        own = self.folder if self.devices.first else self.folder / f"rank{self.devices.rank}"
        return RunView(self.run_id, own, space, schedule, science, ranges)

    def begin_phase(self, step: Step) -> None:
        """Fresh optimizer, newcomers, channel sort, teacher: what a phase's values ask for."""
        phase = step.phase
        if phase.fresh:
            self.optimizer.restart()
        self.optimizer.join(self.net.reachable(phase.space))
        if phase.sort is not None:
            self._sort(phase)
        teacher = self.assembly.teachers.get(phase.name)
        if isinstance(teacher, Snapshot) and teacher.at not in self.teachers:
            self.teachers[teacher.at] = self.take(teacher)

    def _sort(self, phase: Phase) -> None:
        if not isinstance(self.net, SortsChannels):
            raise MisfitError(
                f"phase {phase.name!r} sorts channels, which this network cannot do",
                "use a network with channel_order, or a shrink policy that does not sort",
            )
        network: Any = self.net
        assert phase.sort is not None
        order = self.net.channel_order(phase.sort, phase.space.choices("expand"))
        keep = self.assembly.science.optim.reference_momentum
        parameters = self.gradients.parameters

        def moved(name: str) -> list[Tensor]:
            return [parameters[name], *([] if keep else self.optimizer.buffers(name))]

        apply(network, order, moved)

    def take(self, teacher: Snapshot) -> FrozenTeacher:
        """A frozen teacher: the network as it is now."""
        return FrozenTeacher.taken(teacher, self.net, self.source, self._over)

    def teacher_of(self, phase: Phase) -> FrozenTeacher | None:
        """The teacher a phase learns from."""
        value = self.assembly.teachers.get(phase.name)
        if value is None:
            return None
        return self.teachers[value.at] if isinstance(value, Snapshot) else self.given

    def give_teacher(self, net: Any, path: str) -> None:
        """A teacher from a file or a finished run, for all phases."""
        value = next(t for t in self.assembly.teachers.values() if t is not None)
        if note := load_weights(net, path):
            self.progress.note(note)
        self.given = FrozenTeacher(value, net, self.source, self._over)

    def attend(self, draw: int) -> None:
        """Give a draw a gradient of its own, where an extra merges them."""
        if self.assembly.bus.merges:
            self.gradients.row(draw)

    def probe(self, subnet: Subnet, batch: MicroBatch | None) -> float:
        """A subnet's label loss on the step's first micro-batch, the same on every rank."""
        loss = 0.0
        if self.devices.first:
            assert batch is not None
            with torch.no_grad(), self.autocast():
                self.net.activate(subnet)
                logits = self.net(batch.at(subnet.resolution).images)
            loss = float(self.criterion.hard(logits.float(), batch.labels))
        return float(self.devices.share(loss))

    def reduce(self, step: Step, draws: Sequence[Draw], shares: Sequence[float]) -> None:
        """Sum gradients over ranks, and merge the draws' own where an extra does."""
        gradients = self.gradients
        if not self.assembly.bus.merges:
            self.devices.sum(gradients.flat)
            return
        gradients.row(len(draws) - 1)
        assert gradients.rows is not None
        rows = gradients.rows[: len(draws)]
        self.devices.sum(rows)
        active = torch.stack([self._active(draw.subnet) for draw in draws])
        gradients.flat.copy_(self.assembly.bus.merge(step, draws, rows, active, shares))
        gradients.attach(gradients.flat)

    def _active(self, subnet: Subnet) -> Tensor:
        """Which elements of the flat gradient a subnet uses."""
        flags = torch.zeros_like(self.gradients.flat, dtype=torch.bool)
        for name, slices in self.net.slices(subnet).items():
            self.gradients.view(flags, name)[slices] = True
        return flags

    def scale(self, loss: Tensor) -> Tensor:
        """The loss as backward sees it."""
        return loss if self.scaler is None else self.scaler.scale(loss)

    def unscale(self) -> None:
        """Undo the loss scale, after the reduction."""
        if self.scaler is not None and self.optimizer.torch is not None:
            self.scaler.unscale_(self.optimizer.torch)

    def update(self, lr: float) -> None:
        """Move the parameters; a step that the scaler skips is not divergence."""
        if self.scaler is None:
            self._bad |= ~torch.isfinite(self.gradients.flat.sum())
            self.optimizer.step(lr)
            return
        assert self.optimizer.torch is not None
        self.optimizer.rate(lr)
        self.scaler.step(self.optimizer.torch)
        self.scaler.update()

    def no_losses(self, draws: Sequence[Draw]) -> list[Tensor]:
        """What a rank without a micro-batch has to say of a step's losses."""
        return [self.gradients.flat.new_zeros(()) for _ in draws]

    def watch(self, losses: Sequence[Tensor]) -> None:
        """Raise the divergence flag, on the device, if a loss is not finite."""
        self._bad |= ~torch.isfinite(torch.stack(list(losses)).sum())

    @property
    def diverged(self) -> bool:
        """Whether any rank saw a number that is not finite; waits for the device."""
        return self.devices.any(bool(self._bad.item()))

    def save(self) -> None:
        """Write the state between two updates; the first rank alone does."""
        self.saved = self.cursor
        if not self.devices.first:
            return
        self.checkpoints.save(self.cursor, restoring.memory(self))

    def leave(self) -> None:
        """Leave the state for runs that begin alike, where this step is one they part at."""
        shared = self.shared
        if shared is None or self.cursor not in shared.leave or not self.devices.first:
            return
        self.prefix = shared.name(self.cursor)
        memory = restoring.memory(self) | {"proof": shared.beginning.proof(self.cursor)}
        path, root = shared.path(self.cursor), shared.folder.parents[1]
        write_whole(path, serialized(memory), root=root)

    def restore(self) -> int:
        """Take up the newest checkpoint, or what a run that began alike left; returns the number
        of completed steps. The first rank reads for all, which may see another folder."""
        memory = self.devices.share_state(self._kept() if self.devices.first else None)
        if memory is None:
            for parameter in self.gradients.parameters.values():
                self.devices.broadcast(parameter.data)
        elif not self.devices.first:
            restoring.take_up(self, memory)
        return self.cursor

    def _kept(self) -> dict[str, Any] | None:
        """What this rank's folders hold of the run, taken up."""

        def take_up(memory: dict[str, Any]) -> None:
            restoring.take_up(self, memory)

        device, tell = self.devices.device, self.progress.note
        memory = self.checkpoints.load(self.run_id, device, take_up, tell)
        if memory is None:
            return self._begin_shared(take_up)
        restoring.charge_lost(self, memory)
        return memory

    def _begin_shared(self, take_up: Callable[[dict[str, Any]], None]) -> dict[str, Any] | None:
        """Begin with the state that a run with the same beginning left; its cost is this run's
        cost too. A damaged one is left out."""
        shared = self.shared
        path = shared.latest() if shared else None
        if shared is None or path is None:
            return None
        try:
            memory = deserialized(path, self.devices.device)
        except UNREADABLE as error:
            self.progress.note(f"{path} is damaged, and is left out: {shown(error)}")
            return None
        try:
            if memory["proof"] != shared.beginning.proof(memory["step"]):
                self.progress.note(f"{path} was trained at other rates, and is left out")
                return None
            take_up(memory)
        except DAMAGED as error:
            raise ResumeError(
                f"{path} is of no run that begins alike: {shown(error)}", f"remove {path}"
            ) from error
        self.progress.note(f"the first {memory['step']:,} steps are another run's: taken over")
        return memory
