"""Synthetic records that hold together: the toy space, made-up accuracies, true hashes."""

from __future__ import annotations

import hashlib
import random
from functools import cache
from typing import Any

from ofa_bench.recipe.fingerprint import hashed_science, row_id, run_id
from ofa_bench.records.pareto import candidates_hash, summarise
from ofa_bench.records.per_image import counts, pack
from ofa_bench.records.schema import Bits, Record, Score, sealed
from ofa_bench.seeding import digest, rng
from ofa_bench.space import Space, Subnet, load_space

CLASSES = 10
IMAGES = 360
SELECT = 240


@cache
def space() -> Space:
    return load_space("toy")


@cache
def candidates(extra: int = 6) -> tuple[Subnet, ...]:
    whole = space()
    drawn = [whole.sample(rng("candidates", index)) for index in range(extra)]
    nets = {str(net.to_json()): net for net in (*whole.uniform(), *drawn)}
    return tuple(sorted(nets.values(), key=lambda net: (whole.macs(net, CLASSES), str(net))))


def correct(source: random.Random, share: float) -> list[bool]:
    return [source.random() < share for _ in range(IMAGES)]


def scored(base: float, seed: int, name: str, nets: tuple[Subnet, ...]) -> tuple[list[Any], bytes]:
    whole, source = space(), rng("scores", name, seed)
    low, high = whole.macs(whole.smallest, CLASSES), whole.macs(whole.largest, CLASSES)
    rows, selects = [], []
    for net in nets:
        part = (whole.macs(net, CLASSES) - low) / (high - low)
        share = base / 100 + 0.1 * part
        rows.append(correct(source, share))
        selects.append(round(SELECT * min(1.0, max(0.0, source.gauss(share, 0.02)))))
    raw, layout = pack(rows)
    scores = [
        Score(
            subnet=net.to_json(),
            name=str(net),
            macs=whole.macs(net, CLASSES),
            params=whole.params(net, CLASSES),
            top1_select=100 * chosen / SELECT,
            top1_test=100 * right / IMAGES,
        )
        for net, chosen, right in zip(nets, selects, counts(raw, layout), strict=True)
    ]
    return scores, raw


def policy(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "options": {"draws": 2},
        "distribution": "ofa-bench",
        "version": "0.1.0",
        "source": {"hash": digest(name), "text": f"class {name.title()}: ...\n"},
    }


def science(method: str, **changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "dataset": "digits",
        "space": "toy",
        "method": method,
        "shrink": {"name": "uniform", "options": {"draws": 2}},
        "lr": {"name": "cosine", "options": {"draws": 2}},
        "distill": {"name": "labels", "options": {"draws": 2}},
        "extras": [],
        "precision": "fp32",
        "net": {"init": "torch", "dropout": 0.0},
        "data": {"select": 240},
        "augment": {"kind": "none"},
        "optim": {"name": "sgd", "lr": 0.1, "batch": 64, "norm_batch": 32},
        "budget": {"rule": "epochs", "epochs": 2.0, "scale": 1.0, "factor": 1.0, "published": 1.0},
        "evaluate": {"per_bucket": 8, "buckets": 6, "chunk": 250, "curve": 10},
    }
    return {**base, **changes}


def phase(name: str, steps: int, images: int, seconds: float) -> dict[str, Any]:
    whole = space()
    large = whole.macs(whole.largest, CLASSES)
    return {
        "name": name,
        "epochs": steps / 19,
        "steps": steps,
        "images": images,
        "passes": {"largest": images, "teacher": images},
        "macs": {"largest": 3 * large * images, "teacher": large * images},
        "device_seconds": seconds,
        "wall_seconds": seconds,
        "waiting_share": 0.01,
        "peak_bytes": 1000 + steps,
    }


def cost(seconds: float = 3.0) -> dict[str, Any]:
    phases = [phase("warm", 19, 1197, seconds), phase("joint", 18, 1152, 2 * seconds)]
    return {
        "phases": phases,
        "device_seconds": 3 * seconds,
        "wall_seconds": 3 * seconds,
        "train_macs": sum(sum(row["macs"].values()) for row in phases),
        "subnet_passes": sum(sum(row["passes"].values()) for row in phases),
        "images": sum(row["images"] for row in phases),
        "peak_bytes": 1019,
        "waiting_share": 0.01,
        "beside": {"evaluation_seconds": 1.0},
    }


def task() -> dict[str, Any]:
    whole, nets = space(), candidates()
    return {
        "dataset": "digits",
        "dataset_hash": digest("digits"),
        "splits": {
            "train": {"count": 1197, "hash": digest("train")},
            "select": {"count": SELECT, "hash": digest("select")},
            "test": {"count": IMAGES, "hash": digest("test")},
        },
        "space": {
            "name": whole.name,
            "fingerprint": whole.fingerprint(),
            "description": whole.describe(),
            "trained": whole.describe(),
        },
        "classes": CLASSES,
        "candidates": {
            "count": len(nets),
            "hash": candidates_hash(net.to_json() for net in nets),
            "per_bucket": 8,
        },
        "calibration": digest("calibration"),
        "resolutions": list(whole.listed),
    }


MACHINE = {
    "device": "cpu",
    "cpu": "Made-up CPU",
    "cores": 2,
    "threads": 1,
    "memory_format": "channels_last",
    "allocator": "default",
    "torch": "2.6.0",
    "python": "3.11.0",
    "platform": "Linux",
}


NETWORK = digest("network")


def fields(method: str = "alpha", seed: int = 0, **changes: Any) -> dict[str, Any]:
    """Everything but scores, of a run that failed until `make` gives it some."""
    given: dict[str, Any] = {
        "run": {
            "id": "",
            "started": "2026-01-02T03:04:05Z",
            "finished": "2026-01-02T03:05:05Z",
            "command": f"ofa-bench run --method {method} --seed {seed}",
            "commit": "0" * 40,
            "dirty": False,
        },
        "status": "failed",
        "method": {
            "name": method,
            "composition": "uniform+cosine+labels",
            "shrink": policy("uniform"),
            "lr": policy("cosine"),
            "distill": policy("labels"),
        },
        "task": task(),
        "science": science(method),
        "seed": seed,
        "machine": MACHINE,
        "cost": cost(),
        **changes,
    }
    return identified(given)


def identified(given: dict[str, Any]) -> dict[str, Any]:
    """The fields with the ids that follow from them, where they have none of their own."""
    method, task = given["method"], given["task"]
    code = [f"{name}:{method[name]['source']['hash']}" for name in ("shrink", "lr", "distill")]
    code += [f"network:{NETWORK}", f"space:{task['space']['fingerprint']}"]
    science = hashed_science(given["science"], task["space"]["name"], (), {})
    row = given.get("row_id") or row_id(science, code, task["dataset_hash"], "1")
    run = given.get("run_id") or run_id(row, given["seed"])
    name = given["run"]["id"] or f"{method['name']}-s{given['seed']}-{run[:8]}"
    return {
        **given,
        "identity": {"code": code, "numerics": "1"},
        "row_id": row,
        "run_id": run,
        "run": {**given["run"], "id": name},
    }


def make(
    method: str = "alpha",
    seed: int = 0,
    base: float = 80.0,
    nets: tuple[Subnet, ...] | None = None,
    **changes: Any,
) -> tuple[Record, bytes]:
    """A finished run's record and bits; `base` is the smallest net's accuracy in percent."""
    given = fields(method, seed, **changes)
    nets = candidates() if nets is None else nets
    scores, raw = scored(base, seed, method, nets)
    given["task"]["candidates"] |= {
        "count": len(nets),
        "hash": candidates_hash(net.to_json() for net in nets),
    }
    bits = Bits(
        file=f"{given['run']['id']}.bits",
        sha256=hashlib.sha256(raw).hexdigest(),
        layout=pack([[True] * IMAGES] * len(nets))[1],
    )
    finished = {
        "status": "ok",
        "scores": scores,
        "summary": summarise(scores, space(), CLASSES),
        "bits": bits,
        "weights_sha256": digest("weights", method, seed),
        "curve": [{"step": 19, "epoch": 1.0, "phase": "warm", "largest": 70.0}],
    }
    return sealed({**given, **finished, **{k: changes[k] for k in changes if k in finished}}), raw


def failed(method: str = "alpha", seed: int = 0, status: str = "diverged") -> Record:
    """A run that ended without numbers."""
    given = fields(method, seed)
    given["task"]["candidates"] |= {"count": 0, "hash": candidates_hash([])}
    return sealed({**given, "status": status, "error": "the loss is not finite"})
