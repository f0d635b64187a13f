"""Build the record of a run."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_bench.errors import BenchError
from ofa_bench.planning.forecast import Forecast
from ofa_bench.records.pareto import candidates_hash, summarise
from ofa_bench.records.prices import usd
from ofa_bench.records.schema import Record, sealed
from ofa_bench.records.tables import carried
from ofa_bench.runs.final_evaluation import Judgement
from ofa_bench.sanitize import storable
from ofa_bench.training.cost_ledger import PhaseLedger
from ofa_bench.training.resume import machine_of
from ofa_bench.training.state import State
from ofa_bench.training.weights import weights_hash

if TYPE_CHECKING:
    from ofa_bench.runs.runner import RunContext


def record_of(
    prepared: RunContext,
    state: State,
    run_fields: Mapping[str, str],
    status: str,
    *,
    judgement: Judgement | None = None,
    error: BenchError | None = None,
    more: Mapping[str, Any] | None = None,
) -> Record:
    """The record of an ended run; `run_fields` has "started" and "command", `more` the fields that
    few records have."""
    assembly, identity = prepared.assembly, prepared.identity
    machine = machine_of(state)
    fields: dict[str, Any] = {
        "run": _run(identity.name, run_fields, state.prefix),
        "status": status,
        "method": _method(prepared),
        "task": _task(prepared, state, judgement),
        "science": assembly.science.model_dump(mode="json"),
        "origins": {k: v for k, v in assembly.recipe.origins.items() if v},
        "execution": assembly.recipe.execution.model_dump(mode="json"),
        "seed": assembly.recipe.seed,
        "row_id": identity.row,
        "run_id": identity.run,
        "identity": identity.hashed,
        "machine": machine,
        "cost": _cost(state, machine, judgement),
        "curve": state.curve_points,
        "rates": Forecast(assembly).rates(),
        "error": f"{error.message}" if error else None,
        "weights_sha256": weights_hash(state.net),
        "ancestor": prepared.ancestor,
        **(more or {}),
    }
    if judgement is not None:
        fields["scores"] = judgement.scores
        fields["summary"] = summarise(judgement.scores, assembly.space, assembly.classes)
        fields["bits"] = _bits(identity.name, judgement)
    return sealed(storable(fields))


def _run(name: str, run_fields: Mapping[str, str], prefix: str | None) -> dict[str, Any]:
    commit, dirty = version_control()
    return {
        "id": name,
        "started": run_fields["started"],
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": run_fields["command"],
        "commit": commit,
        "dirty": dirty,
        "prefix": prefix,
    }


def _method(prepared: RunContext) -> dict[str, Any]:
    assembly = prepared.assembly
    science = assembly.science

    def policy(key: str, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
        origin, source = assembly.origins[key], prepared.identity.sources[key]
        return {
            "name": name,
            "options": options,
            "distribution": origin.distribution or origin.file or origin.plugin,
            "version": origin.version,
            "source": {"hash": source.hash, "text": source.text},
        }

    chosen = {f: getattr(science, f) for f in ("shrink", "lr", "distill")}
    return {
        "name": science.method,
        "composition": science.composition,
        **{f: policy(f, choice.name, choice.options) for f, choice in chosen.items()},
        "extras": [policy(name, name, {}) for name in science.extras],
        "wrappers": assembly.bus.wrappers,
    }


def _task(prepared: RunContext, state: State, judgement: Judgement | None) -> dict[str, Any]:
    assembly, source = prepared.assembly, prepared.source
    subnets = judgement.subnets if judgement else ()
    return {
        "dataset": assembly.science.dataset,
        "dataset_hash": source.hash,
        "splits": {
            name: {"count": source.sizes[name], "hash": source.splits_hash[name]}
            for name in ("train", "select", "test")
        },
        "space": {
            "name": assembly.space.name,
            "fingerprint": assembly.space.fingerprint(),
            "description": assembly.space.describe(),
            "trained": assembly.trained.describe(),
            "table": carried(assembly.space),
        },
        "classes": assembly.classes,
        "candidates": {
            "count": len(subnets),
            "hash": candidates_hash(subnet.to_json() for subnet in subnets),
            "per_bucket": assembly.science.evaluate.per_bucket,
        },
        "calibration": source.calibration_hash,
        "resolutions": assembly.space.listed,
        "notes": (*source.notes, *state.notes, *_mistakes(state, judgement is not None)),
        "class_names": source.class_names,
        "decoder": source.decoder and source.decoder._asdict(),
    }


def _gathered(state: State, value: Any, lockstep: bool) -> list[Any]:
    """The values of all ranks; only this rank's if `lockstep` is False, since after a failure the
    other ranks may not take part."""
    return state.devices.gather(value) if lockstep else [value]


def _mistakes(state: State, lockstep: bool) -> tuple[str, ...]:
    """Errors of callbacks that do not affect training, from all ranks."""
    watchers = state.assembly.bus.watchers
    return watchers.merged(_gathered(state, watchers.state_dict(), lockstep))


def _cost(state: State, machine: Mapping[str, Any], judgement: Judgement | None) -> dict[str, Any]:
    schedule = state.assembly.schedule
    peaks = _gathered(state, state.devices.peak_bytes, judgement is not None)
    peak = max(*peaks, *(row.peak_bytes for row in state.ledger.rows), 0)
    phases = [_phase(row, schedule.steps_per_epoch, peak) for row in state.ledger.rows]
    wall = sum(row["wall_seconds"] for row in phases)
    device = sum(row["device_seconds"] for row in phases)
    waiting = sum(row.waiting_seconds for row in state.ledger.rows)
    return {
        "phases": phases,
        "device_seconds": device,
        "wall_seconds": wall,
        "train_macs": sum(sum(row["macs"].values()) for row in phases),
        "subnet_passes": sum(sum(row["passes"].values()) for row in phases),
        "images": sum(row["images"] for row in phases),
        "peak_bytes": peak,
        "usd": usd(device / 3600, str(machine["gpu"] or machine["cpu"])),
        "waiting_share": min(1.0, waiting / wall) if wall else 0.0,
        "beside": {"evaluation_seconds": judgement.seconds if judgement else 0.0},
    }


def _phase(row: PhaseLedger, per_epoch: int, peak: int) -> dict[str, Any]:
    wall = row.wall_seconds
    return {
        "name": row.name,
        "epochs": row.steps / per_epoch,
        "steps": row.steps,
        "images": row.images,
        "passes": row.passes,
        "macs": row.macs,
        "device_seconds": row.device_seconds,
        "wall_seconds": wall,
        "waiting_share": min(1.0, row.waiting_seconds / wall) if wall else 0.0,
        "peak_bytes": row.peak_bytes or peak,
    }


def _bits(name: str, judgement: Judgement) -> dict[str, Any]:
    import hashlib

    digest = hashlib.sha256(judgement.bits).hexdigest()
    return {"file": f"{name}.bits", "sha256": digest, "layout": judgement.layout}


def version_control() -> tuple[str | None, bool | None]:
    """The git commit of this code, and whether tracked files of package, plugins or specs differ.

    Boards and docs may, since runs do not depend on them, and write boards themselves. (None, None)
    if git does not track this file, as in an installed package.
    """
    here = Path(__file__).resolve().parent
    code = [str(here.parents[1] / name) for name in (here.parent.name, "plugins", "specs")]
    try:
        _git(here, "ls-files", "--error-unmatch", Path(__file__).name)
        commit = _git(here, "rev-parse", "HEAD")
        changed = _git(here, "status", "--porcelain", "--untracked-files=no", "--", *code)
        return commit, bool(changed)
    except (OSError, subprocess.SubprocessError):
        return None, None


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()
