"""The training state of a run, its updates, and how it is saved and restored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
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
from ofa_bench.training import resume
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
from ofa_bench.training.devices import Devices
from ofa_bench.training.gradients import FlatGradients
from ofa_bench.training.interrupts import Stop
from ofa_bench.training.optimizer import Optimizer
from ofa_bench.training.precision import autocast, executor
from ofa_bench.training.teacher import FrozenTeacher
from ofa_bench.training.weights import load_weights


@dataclass
class State:
    """The network, optimizer, teachers and ledger after `cursor` completed steps."""

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
    external_teacher: FrozenTeacher | None = None
    shared: Shared | None = None
    prefix: str | None = None
    cursor: int = 0
    saved: int = 0
    notes: list[str] = field(default_factory=list)
    peak_bytes: int = 0
    """The most memory that a rank had taken when training ended."""
    machine: dict[str, Any] | None = None
    """Where training ended, if it ended in an earlier process; a record names that machine."""

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
        fp16 = science.precision == "fp16"
        self.scaler = torch.amp.GradScaler(self.devices.device.type, enabled=fp16)
        needs = self.assembly.recipe.policies["distill"].needs
        self.shares_prefixes = not merges and needs <= {Role.LARGEST}
        self._over = executor(science, self.devices, bool(merges))
        self.blocks = self._over(self.net)

    def view(self) -> RunView:
        """The view of the run that `run_start` hooks get."""
        science = self.assembly.science.model_dump(mode="json")
        space, schedule = self.assembly.space, self.assembly.schedule
        ranges = self.gradients.ranges
        folder = self.folder if self.devices.first else self.folder / f"rank{self.devices.rank}"
        return RunView(self.run_id, folder, space, schedule, science, ranges)

    def begin_phase(self, step: Step) -> None:
        """Apply the phase: restart the optimizer, add parameters, sort channels, copy a teacher."""
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
        """A frozen copy of the current network as a teacher."""
        return FrozenTeacher.taken(teacher, self.net, self.source, self._over)

    def teacher_of(self, phase: Phase) -> FrozenTeacher | None:
        """The teacher of a phase, or None."""
        value = self.assembly.teachers.get(phase.name)
        if value is None:
            return None
        return self.teachers[value.at] if isinstance(value, Snapshot) else self.external_teacher

    def give_teacher(self, net: Any, path: str) -> None:
        """Load the teacher of all phases from a weights file or a finished run."""
        value = next(t for t in self.assembly.teachers.values() if t is not None)
        if note := load_weights(net, path):
            self.progress.note(note)
        self.external_teacher = FrozenTeacher(value, net, self.source, self._over)

    def attend(self, draw: int) -> None:
        """Select the gradient row of a draw, if an extra merges gradients."""
        if self.assembly.bus.merges:
            self.gradients.row(draw)

    def probe(self, subnet: Subnet, batch: MicroBatch | None) -> float:
        """A subnet's label loss on the step's first micro-batch; the same on every rank."""
        loss = 0.0
        if self.devices.first:
            assert batch is not None
            with torch.no_grad(), autocast(self.assembly.science.precision, self.devices)():
                self.net.activate(subnet)
                logits = self.net(batch.at(subnet.resolution).images)
            loss = float(self.criterion.hard(logits.float(), batch.labels))
        return float(self.devices.share(loss))

    def reduce(self, step: Step, draws: Sequence[Draw], shares: Sequence[float]) -> None:
        """Sum gradients over ranks, and merge those of the draws if an extra does."""
        gradients = self.gradients
        if not self.assembly.bus.merges:
            self.devices.sum(gradients.flat)
            return
        gradients.row(len(draws) - 1)
        rows = gradients.rows[: len(draws)]
        self.devices.sum(rows)
        active = torch.stack([self._active(draw.subnet) for draw in draws])
        gradients.flat.copy_(self.assembly.bus.merge(step, draws, rows, active, shares))
        gradients.attach(gradients.flat)

    def _active(self, subnet: Subnet) -> Tensor:
        """Flags [parameters] of the elements that a subnet uses."""
        flags = torch.zeros_like(self.gradients.flat, dtype=torch.bool)
        for name, slices in self.net.slices(subnet).items():
            self.gradients.view(flags, name)[slices] = True
        return flags

    def unscale(self) -> None:
        """Divide the reduced gradients by the fp16 loss scale."""
        if self.optimizer.torch is not None:
            self.scaler.unscale_(self.optimizer.torch)

    def update(self, lr: float) -> None:
        """Update the parameters; a step that the fp16 scaler skips is not divergence."""
        if not self.scaler.is_enabled():
            self._bad |= ~torch.isfinite(self.gradients.flat.sum())
        self.optimizer.step(lr, self.scaler)
        self.scaler.update()

    def watch(self, losses: Sequence[Tensor]) -> None:
        """Set the divergence flag, on the device, if a loss is not finite."""
        self._bad |= ~torch.isfinite(torch.stack(list(losses)).sum())

    @property
    def diverged(self) -> bool:
        """Whether a loss or gradient was not finite on any rank; synchronizes."""
        return self.devices.any(bool(self._bad.item()))

    def save(self) -> None:
        """Write a checkpoint, on the first rank only."""
        self.saved = self.cursor
        if not self.devices.first:
            return
        self.checkpoints.save(self.cursor, resume.memory(self))

    def leave(self) -> None:
        """Save the state for runs with the same first steps, if they diverge at this step."""
        shared = self.shared
        if shared is None or self.cursor not in shared.leave or not self.devices.first:
            return
        self.prefix = shared.name(self.cursor)
        memory = resume.memory(self) | {"proof": shared.beginning.proof(self.cursor)}
        path, root = shared.path(self.cursor), shared.folder.parents[1]
        write_whole(path, serialized(memory), root=root)

    def restore(self) -> int:
        """Restore the newest checkpoint, or the shared first steps; return the number of completed
        steps. The first rank reads for all ranks."""
        memory = self.devices.share_state(self._kept() if self.devices.first else None)
        if memory is None:
            for parameter in self.gradients.parameters.values():
                self.devices.broadcast(parameter.data)
        elif not self.devices.first:
            resume.restore_state(self, memory)
        return self.cursor

    def _kept(self) -> dict[str, Any] | None:
        """Restore from this rank's folders; the checkpoint, or None."""
        device, apply_memory = self.devices.device, partial(resume.restore_state, self)
        memory = self.checkpoints.load(self.run_id, device, apply_memory, self.progress.note)
        if memory is None:
            return self._begin_shared()
        resume.charge_lost(self, memory)
        return memory

    def _begin_shared(self) -> dict[str, Any] | None:
        """Restore the state that a run with the same first steps saved, its cost included. A
        damaged one is ignored. Raises ResumeError if it belongs to no such run."""
        shared = self.shared
        path = shared.latest() if shared else None
        if shared is None or path is None:
            return None
        try:
            memory = deserialized(path, self.devices.device)
        except UNREADABLE as error:
            self.progress.note(f"{path} is damaged and is ignored: {shown(error)}")
            return None
        try:
            if memory["proof"] != shared.beginning.proof(memory["step"]):
                self.progress.note(f"{path} was trained at other rates and is ignored")
                return None
            resume.restore_state(self, memory)
        except DAMAGED as error:
            raise ResumeError(
                f"{path} belongs to no run with the same first steps: {shown(error)}",
                f"remove {path}",
            ) from error
        self.progress.note(f"the first {memory['step']:,} steps are reused from another run")
        return memory
