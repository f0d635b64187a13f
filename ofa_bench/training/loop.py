"""The only training loop.

Policies return values; this module applies them. The gradient of a step is Σ_d share_d · ∇ mean_x
loss_d(x): a sum over draws, a mean over the samples of the global batch, however it is split into
ranks and micro-batches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from ofa_bench.data.sources.batch import Address, MicroBatch
from ofa_bench.draws import Draw, Role
from ofa_bench.errors import DataError, Interrupted, ResumeError, TrainingDiverged
from ofa_bench.evaluation.score import top1
from ofa_bench.hooks.hookspecs import Outcome, Scores
from ofa_bench.planning.compatibility import check_draws
from ofa_bench.planning.identity import safe
from ofa_bench.schedule import Phase, Step
from ofa_bench.space import Subnet
from ofa_bench.training.forward_backward import Passes
from ofa_bench.training.state import State
from ofa_bench.training.weights import save_weights

LOOK_EVERY = 16  # steps between reads of the divergence flag, each of which synchronizes


class Loop:
    """Trains a `State` from its cursor to the end of its schedule."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.bus, self.schedule = state.assembly.bus, state.assembly.schedule
        self.devices, self.ledger, self.stop = state.devices, state.ledger, state.stop

    def run(self, train: bool = True) -> None:
        """Run all remaining steps; data workers are stopped in every case.

        Without `train`, raises ResumeError if there are any left. Raises Interrupted on a signal,
        after discarding the current step and saving; TrainingDiverged on every rank if a loss is
        not finite; DataError, after saving, if an image or a worker is lost.
        """
        state = self.state
        cursor = state.restore()
        if not train and cursor < self.schedule.steps:
            raise ResumeError(
                f"the training is at step {cursor:,} of {self.schedule.steps:,}", self.stop.hint
            )
        with self.stop.gently():
            try:
                self._stream = state.source.batches(self._addresses(cursor))
                self.bus.run_start(state.view())
                state.progress.begin(self.schedule.steps, cursor)
                self._train(cursor)
            except DataError:
                self.ledger.pause()
                state.save()
                raise
            finally:
                state.source.close()

    def _train(self, cursor: int) -> None:
        self._catch_up(cursor)
        for index in range(cursor, self.schedule.steps):
            step = self.schedule.step(index)
            if step.phase_step == 0:
                self.state.begin_phase(step)
                self.bus.phase_start(step.phase, step)
            if index == cursor or step.phase_step == 0:
                self._passes = self._passes_of(step.phase)
            self.ledger.enter(step.phase.name)
            self._step(step)
            self.state.cursor = index + 1
            self._after(step)
        if self.devices.any(self.stop()):
            self._abandon()  # requested after the last check
        self.ledger.pause()
        self.state.peak_bytes = max(self.devices.gather(self.devices.peak_bytes))
        self.state.save()

    def _addresses(self, cursor: int) -> Iterator[Address]:
        """The addresses of this rank's micro-batches in all remaining steps."""
        for index in range(cursor, self.schedule.steps):
            cuts = self.schedule.cuts(index)
            for cut in cuts[self.devices.rank :: self.devices.world]:
                yield Address(*cut)

    def _step(self, step: Step) -> None:
        state, cuts = self.state, self.schedule.cuts(step.index)
        samples = sum(stop - start for _, start, stop in cuts)
        numbers = range(self.devices.rank, len(cuts), self.devices.world)
        batch = self._next() if numbers else None
        lr = self.bus.lr_at(step)
        probes: list[Subnet] = []
        draws = self._draws(step, batch, probes)
        shares = [self.bus.lr_share(step, draw) for draw in draws]
        passes = self._passes(step=step, draws=draws, shares=shares)
        state.gradients.zero()
        for number in numbers:
            if number != numbers[0]:
                batch = self._next()
            assert batch is not None
            passes.run(batch, number, len(batch.labels) / samples, state.attend)
            state.progress.micro(step, number + 1, len(cuts))
            if self.stop():
                break
        if self.devices.any(self.stop()):
            self._abandon()
        state.reduce(step, draws, shares)
        state.unscale()
        if (clip := state.assembly.science.optim.clip) is not None:
            state.gradients.clip(clip)
        state.update(lr)
        self.ledger.charge_step(draws, samples)
        self._charge_forward(step, passes, probes, samples)
        mine = sum(cuts[number][2] - cuts[number][1] for number in numbers)
        # Means over this rank's samples.
        losses = [loss * (samples / mine) for loss in passes.losses]
        losses = losses or [state.gradients.flat.new_zeros(()) for _ in draws]
        self._outcome = Outcome(draws, losses, lr, shares, samples)

    def _next(self) -> MicroBatch:
        began = time.perf_counter()
        batch = next(self._stream)
        waited = time.perf_counter() - began
        self.ledger.row.waiting_seconds += waited
        self.state.progress.waited(waited)
        return batch

    def _draws(self, step: Step, batch: MicroBatch | None, probes: list[Subnet]) -> Sequence[Draw]:
        def probe(subnet: Subnet) -> float:
            probes.append(subnet)
            return self.state.probe(subnet, batch)

        draws = self.bus.draws(step, probe)
        if step.phase_step == 0:
            check_draws(step, draws, self.state.assembly.science)
        return draws

    def _passes_of(self, phase: Phase) -> Callable[..., Passes]:
        """What makes a step's passes, with everything that stays the same in a phase."""
        state, teacher = self.state, self.state.teacher_of(phase)
        return partial(
            Passes,
            net=state.net,
            bus=self.bus,
            criterion=state.criterion,
            blocks=state.blocks,
            teach=teacher.on if teacher else None,
            scale=state.scaler.scale,
            stop=self.stop,
            shared=state.shares_prefixes,
        )

    def _charge_forward(
        self, step: Step, passes: Passes, probes: Sequence[Subnet], samples: int
    ) -> None:
        teacher = self.state.assembly.teachers.get(step.phase.name)
        if teacher is not None:
            for size in sorted(passes.taught):
                self.ledger.charge(Role.TEACHER, teacher.subnet.at(size), samples)
        first = self.schedule.cuts(step.index)[0]
        for subnet in probes:
            self.ledger.charge(Role.PROBE, subnet, first[2] - first[1])

    def _after(self, step: Step) -> None:
        """After a step: callbacks, divergence check, training curve, checkpoint."""
        state = self.state
        last = step.phase_step == step.phase_steps - 1
        state.watch(self._outcome.losses)
        on_curve = self._on_curve(step, last)
        due = self._due(step)
        if step.index % LOOK_EVERY == LOOK_EVERY - 1 or last or on_curve or due:
            self._look(step)
        self.bus.after_step(step, self._outcome)
        state.progress.step(step, self._outcome)
        if on_curve:
            self._measure(step)
        state.leave()
        kept = last and state.assembly.recipe.execution.keep == "phase"
        if due or kept:
            state.save()
        if kept and self.devices.first:
            self._keep(step)

    def _keep(self, step: Step) -> None:
        """Copy the checkpoint and the weights at a phase's end into the run's folder."""
        state = self.state
        number = self.schedule.phases.index(step.phase) + 1
        path = state.folder / "phases" / f"{number}-{safe(step.phase.name)}"
        state.checkpoints.copy_newest(path.with_name(f"{path.name}.pt"))
        weights = path.with_name(f"{path.name}.safetensors")
        save_weights(state.net, weights, state.source.class_names)

    def _due(self, step: Step) -> bool:
        """Whether a checkpoint is due; the same on all ranks."""
        every = self.state.assembly.recipe.execution.checkpoint_steps
        if every is not None:
            return (step.index + 1) % every == 0
        return self.devices.any(self.devices.first and self.state.checkpoints.due)

    def _catch_up(self, cursor: int) -> None:
        """Measure the curve point that an interruption prevented."""
        step = self.schedule.step(max(0, cursor - 1))
        due = self._on_curve(step, step.phase_step == step.phase_steps - 1)
        if cursor and due and all(point["step"] != cursor for point in self.state.curve_points):
            self.ledger.enter(step.phase.name)
            self._measure(step)

    def _on_curve(self, step: Step, last: bool) -> bool:
        """Whether a point of the training curve is due: at the end of each phase, and
        `evaluate.curve` times per run."""
        count, total = self.state.assembly.science.evaluate.curve, self.schedule.steps
        done = step.index + 1
        return bool(count) and (last or done * count // total > step.index * count // total)

    def _measure(self, step: Step) -> None:
        """Add a point to the training curve; its time is not part of the training cost."""
        self.ledger.pause()
        try:
            with self.stop.anywhere():
                self.bus.after_eval(step, self.curve_point(step))
        except Interrupted:
            self._abandon()
        self.ledger.go_on()

    def curve_point(self, step: Step) -> Scores:
        """Score the largest and the smallest subnet (percent top-1 on select); add the point."""
        state, assembly = self.state, self.state.assembly
        nets = {"largest": step.phase.space.largest, "smallest": assembly.trained.smallest}
        subnets, chunk = list(nets.values()), assembly.science.evaluate.chunk
        values = top1(state.net, subnets, state.source, "select", state.devices, chunk=chunk)
        scores = dict(zip(nets, values, strict=True))
        point = {"step": step.index + 1, "epoch": round((step.index + 1) / step.steps_per_epoch, 6)}
        state.curve_points.append({**point, "phase": step.phase.name, **scores})
        return Scores(scores)

    def _look(self, step: Step) -> None:
        if not self.state.diverged:
            return
        raise TrainingDiverged(
            f"the loss stopped being finite by step {step.index} of phase {step.phase.name!r} "
            f"(rate {self._outcome.lr:.4g}, draws: "
            f"{', '.join(str(draw.role) for draw in self._outcome.draws)})",
            f"lower optim.lr, or set optim.clip; last good step: {self.state.saved}",
        )

    def _abandon(self) -> None:
        """Discard the current step, save the last completed one, and raise Interrupted."""
        self.ledger.pause()
        self.state.save()
        self.stop.ending = True
        interrupted = Interrupted(
            f"interrupted after step {self.state.cursor}; state is saved", self.stop.hint
        )
        interrupted.on_all_ranks = True
        raise interrupted
