"""Save the training state to a checkpoint, and validate and restore it.

A checkpoint is untrusted even if its hash is right: content that no run of this recipe can have
raises ValueError, or any other of `checkpoint.DAMAGED`.
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ofa_bench.draws import Role
from ofa_bench.errors import PolicyError
from ofa_bench.hooks.hookspecs import Snapshot
from ofa_bench.planning.cost_model import FORWARD_ONLY, TRAINED_PASS
from ofa_bench.records.parts import Machine
from ofa_bench.records.schema import CurvePoint
from ofa_bench.sanitize import plain_text
from ofa_bench.schedule import Schedule
from ofa_bench.space import Space
from ofa_bench.training.callbacks import HEARTBEAT, lost_seconds
from ofa_bench.training.cost_ledger import MOST_RANKS, PhaseLedger
from ofa_bench.training.precision import describe

if TYPE_CHECKING:
    from ofa_bench.training.state import State

LONGEST_STEPS = 10  # mean step times that one step, or writing a checkpoint, may take
LONGEST_RUN = 1e10  # seconds
MOST = 2**62


def memory(state: State) -> dict[str, Any]:
    """The state of a run between two updates, as tensors and plain values."""
    watchers = state.assembly.bus.watchers
    kept = {n: plugin for n, plugin in _plugins(state).items() if remembers(plugin)}
    recalled = {n: _recall(state, n, plugin) for n, plugin in kept.items()}
    return {
        "run_id": state.run_id,
        "step": state.cursor,
        "prefix": state.prefix,
        "parameters": state.net.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "scaler": state.scaler.state_dict(),
        "teachers": {at: teacher.weights() for at, teacher in state.teachers.items()},
        "ledger": state.ledger.state_dict(),
        "at": time.time(),
        "interval": state.checkpoints.interval,
        "curve": state.curve_points,
        "policies": {n: value for n, value in recalled.items() if n not in watchers},
        "watchers": {n: v for n, v in recalled.items() if n in watchers and v is not None},
        "mistakes": watchers.state_dict(),
        "notes": list(state.notes),
        "world": state.devices.world,
        "machine": machine_of(state) if state.cursor == state.assembly.schedule.steps else None,
        "peak_bytes": max(state.peak_bytes, state.devices.peak_bytes),
    }


def machine_of(state: State) -> dict[str, Any]:
    """The `machine` of a record: where training ended, and how its images were loaded there."""
    if state.machine:
        return state.machine
    machine = describe(state.devices, bool(state.assembly.bus.merges))
    machine["details"] |= state.source.loading()
    return machine


def remembers(plugin: object) -> bool:
    """Whether a policy or extra has state_dict and load_state_dict."""
    return hasattr(plugin, "state_dict") and hasattr(plugin, "load_state_dict")


def _plugins(state: State) -> dict[str, Any]:
    return {**state.assembly.recipe.policies, **state.assembly.bus.extras}


def _recall(state: State, name: str, plugin: Any) -> Any:
    """A plugin's state_dict. Raises PolicyError if a checkpoint cannot hold it; for callbacks that
    do not affect training the error is only recorded."""
    bus = state.assembly.bus

    def recall() -> Any:
        value, buffer = plugin.state_dict(), io.BytesIO()
        torch.save(value, buffer)
        buffer.seek(0)
        torch.load(buffer, weights_only=True)
        return value

    where = f"after {state.cursor} steps"
    if name in bus.watchers:
        return bus.watchers.forgiven(name, f"state_dict {where}", recall)
    try:
        return recall()
    except Exception as error:
        raise PolicyError(
            f"{name}: state_dict {where} returns what a checkpoint cannot hold: "
            f"{type(error).__name__}: {plain_text(str(error))}",
            "give tensors, numbers, texts, and lists and dicts of them",
        ) from error


def restore_state(state: State, memory: Mapping[str, Any]) -> None:
    """Validate a checkpoint and restore it. Raises ValueError or another of DAMAGED."""
    schedule = state.assembly.schedule
    step = memory["step"]
    if type(step) is not int or not 0 <= step <= schedule.steps:
        raise ValueError(f"it is of step {step!r} of {schedule.steps}")
    world = _world(state, memory)  # early checkpoints lack the seconds of all ranks
    values = [{"device_seconds": row["wall_seconds"] * world, **row} for row in memory["ledger"]]
    rows = [PhaseLedger(**row) for row in values]
    check_ledger(rows, schedule, step, _bounds(state))
    curve = [CurvePoint.model_validate(point).model_dump() for point in memory["curve"]]
    if any(b["step"] <= a["step"] for a, b in pairwise(curve)):
        raise ValueError("the steps of its curve do not increase")
    if curve and curve[-1]["step"] > step:
        raise ValueError("its curve goes beyond its step")
    prefix = memory["prefix"]
    if not (prefix is None or (isinstance(prefix, str) and prefix.isalnum() and len(prefix) < 65)):
        raise ValueError("its shared beginning has an invalid name")
    since, interval = memory["at"], memory["interval"]
    if not all(type(n) is float and math.isfinite(n) and n >= 0 for n in (since, interval)):
        raise ValueError("its time stamp is invalid")
    notes = [plain_text(note) for note in memory["notes"]] + _other_world(state, memory)
    _check_tensors(memory["parameters"], state.net.state_dict())
    _check_teachers(state, memory["teachers"], step)
    _check_policies(state, memory["policies"])
    machine = _machine(memory, rows) if step == schedule.steps else None
    foreign = memory.get("run_id") != state.run_id  # a run with the same first steps
    mistakes = {} if foreign else memory["mistakes"]
    state.assembly.bus.watchers.load_state_dict(mistakes)
    _load_networks(state, memory, step)
    _load_plugins(state, memory["policies"], {} if foreign else memory["watchers"])
    state.ledger.rows = rows
    state.curve_points[:] = curve
    state.cursor = state.saved = step
    state.prefix, state.notes, state.machine = prefix, notes, machine


def _machine(memory: Mapping[str, Any], rows: list[PhaseLedger]) -> dict[str, Any] | None:
    """Where training ended, with the memory it took; None in checkpoints from before that."""
    if memory.get("machine") is None:
        return None
    peak = memory["peak_bytes"]
    if type(peak) is not int or not 0 <= peak < MOST:
        raise ValueError("its peak memory is invalid")
    for row in rows:
        row.peak_bytes = row.peak_bytes or peak
    machine = Machine.model_validate(memory["machine"]).model_dump()
    _ranks(machine["details"].get("world"))
    return machine


def _world(state: State, memory: Mapping[str, Any]) -> int:
    """How many ranks a checkpoint was written by."""
    return _ranks(memory.get("world", state.devices.world))


def _ranks(count: Any) -> int:
    if type(count) is not int or not 1 <= count <= MOST_RANKS:
        raise ValueError("its number of ranks is invalid")
    return count


def _other_world(state: State, memory: Mapping[str, Any]) -> list[str]:
    """The note on a resume with another number of ranks, which is also reported."""
    before, now = _world(state, memory), state.devices.world
    if before == now or memory["step"] == state.assembly.schedule.steps:
        return []  # the final evaluation does not depend on it
    note = (
        f"the number of ranks changed: {now} from step {memory['step']} on, {before} before; "
        "the bits are not those of one number of ranks"
    )
    state.progress.note(note)
    return [note]


def _load_networks(state: State, memory: Mapping[str, Any], step: int) -> None:
    state.net.load_state_dict(memory["parameters"])
    state.optimizer.load_state_dict(memory["optimizer"])
    state.scaler.load_state_dict(memory["scaler"])
    joined = {name for cohort in state.optimizer.cohorts for name in cohort}
    number = state.assembly.schedule.phase_number(max(step - 1, 0))
    reached = state.net.reachable(state.assembly.schedule.phases[number].space)
    if step and not set(reached) <= joined:
        raise ValueError("its optimizer lacks parameters that were trained")
    for value in state.assembly.teachers.values():
        if isinstance(value, Snapshot) and value.at in memory["teachers"]:
            teacher = state.take(value)
            teacher.load(memory["teachers"][value.at])
            state.teachers[value.at] = teacher


def _load_plugins(state: State, policies: Mapping[str, Any], watchers: Mapping[str, Any]) -> None:
    plugins, bus = _plugins(state), state.assembly.bus
    for name, value in watchers.items():
        if name in bus.watchers and remembers(plugins[name]):
            load = plugins[name].load_state_dict
            bus.watchers.forgiven(name, "load_state_dict", partial(load, value))
    for name, value in policies.items():
        try:
            plugins[name].load_state_dict(value)
        except Exception as error:
            raise PolicyError(
                f"{name}: load_state_dict failed: {type(error).__name__}: {plain_text(str(error))}",
                "correct the plugin, which gets what state_dict returned; or start with --fresh",
            ) from error


def _check_policies(state: State, policies: Mapping[str, Any]) -> None:
    watchers = state.assembly.bus.watchers
    kept = {n for n, p in _plugins(state).items() if remembers(p) and n not in watchers}
    if set(policies) != kept:
        raise ValueError("its policies' states are not those of this run")


def _check_tensors(values: Mapping[str, Any], ours: Mapping[str, Tensor]) -> None:
    if set(values) != set(ours):
        raise ValueError("its parameters are not those of the network")
    for name, tensor in ours.items():
        value = values[name]
        same = isinstance(value, Tensor) and value.layout == torch.strided
        if not same or (value.shape, value.dtype) != (tensor.shape, tensor.dtype):
            raise ValueError(f"parameter {name} is of another shape or kind")


def _check_teachers(state: State, teachers: Mapping[str, Any], step: int) -> None:
    schedule = state.assembly.schedule
    for phase, edge in zip(schedule.phases, schedule.edges, strict=False):
        value = state.assembly.teachers.get(phase.name)
        if edge < step and isinstance(value, Snapshot) and value.at not in teachers:
            raise ValueError(f"it lacks the teacher taken as phase {value.at!r} began")
    for weights in teachers.values():
        _check_tensors(weights, state.net.state_dict())


def _bounds(state: State) -> tuple[int, int]:
    """MACs per image of the smallest and the largest subnet."""
    space: Space = state.assembly.space
    classes, sizes = state.assembly.classes, space.resolutions
    low = space.macs(space.smallest.at(min(sizes)), classes)
    return low, space.macs(space.largest.at(max(sizes)), classes)


def check_ledger(
    rows: Sequence[PhaseLedger], schedule: Schedule, step: int, macs: tuple[int, int]
) -> None:
    """Raise ValueError if a ledger does not match `step` completed steps."""
    wanted = [
        (phase.name, min(step, last) - first, schedule.seen(min(step, last)) - schedule.seen(first))
        for phase, (first, last) in zip(schedule.phases, pairwise(schedule.edges), strict=True)
        if first < step
    ]
    begun = [row for row in rows if row.steps]
    if [(row.name, row.steps, row.images) for row in begun] != wanted or len(rows) > len(begun) + 1:
        raise ValueError("its ledger is not that of its step")
    for row in rows:
        seconds = (row.wall_seconds, row.waiting_seconds, row.device_seconds / MOST_RANKS)
        if not all(isinstance(s, int | float) and 0 <= s < LONGEST_RUN for s in seconds):
            raise ValueError("its ledger has an impossible time")
        if row.device_seconds < row.wall_seconds * (1 - 1e-9):
            raise ValueError("its ledger has less time of devices than of the clock")
        if set(row.passes) != set(row.macs) or not set(row.passes) <= {str(role) for role in Role}:
            raise ValueError("its ledger has passes of an unknown role")
        for role, passes in row.passes.items():
            _check_role(row, Role(role), passes, macs)
        if sum(n for role, n in row.passes.items() if Role(role) not in FORWARD_ONLY) < row.images:
            raise ValueError("its ledger lacks passes")


def _check_role(row: PhaseLedger, role: Role, passes: Any, macs: tuple[int, int]) -> None:
    cost, factor = row.macs[role.value], 1 if role in FORWARD_ONLY else TRAINED_PASS
    whole = all(type(value) is int and 0 <= value < MOST for value in (passes, cost))
    if not whole or not passes * macs[0] * factor <= cost <= passes * macs[1] * factor:
        raise ValueError("its ledger has MACs that its passes cannot take")


def charge_lost(state: State, memory: Mapping[str, Any]) -> None:
    """Charge the training time that a kill lost, up to what the checkpoint interval explains."""
    since, interval = memory["at"], memory["interval"]
    steps = [row.wall_seconds / row.steps for row in state.ledger.rows if row.steps]
    bound = interval + 2 * HEARTBEAT + LONGEST_STEPS * max(steps, default=0.0)
    log = state.folder / "events.jsonl"
    kills, beyond = lost_seconds(log, since, bound, _world(state, memory))
    lost = state.ledger.charge_lost(kills)
    if beyond:
        note = (
            f"after step {state.cursor} the clock says {lost + beyond:.4g} s were lost to a kill, "
            f"which a checkpoint every {interval:.3g} s cannot explain: {lost:.4g} s are charged"
        )
        state.notes.append(note)
        state.progress.note(note)
