"""Committed records made into what a forger would send: changed, and sealed anew."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ofa_bench.recipe.fingerprint import run_id
from ofa_bench.records.json_text import spell
from ofa_bench.records.schema import canonical

RESULTS = Path(__file__).resolve().parents[2] / "results"
Change = Callable[[dict[str, Any]], object]


def results(folder: Path, *methods: str) -> Path:
    """A results folder with the committed digits records of the matched track, of some methods."""
    for method in methods or ("deps", "ofa"):
        for path in sorted((RESULTS / "records" / "digits" / method).glob("*.json")):
            if json.loads(path.read_text())["science"]["budget"]["rule"] == "matched":
                target = folder / "records" / "digits" / method
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
                shutil.copy(path.with_suffix(".bits"), target)
    return folder


def record(results: Path, method: str, seed: int = 0) -> Path:
    """The file of a seed."""
    (path,) = (results / "records" / "digits" / method).glob(f"*-s{seed}-*.json")
    return path


def sealed_text(values: dict[str, Any]) -> str:
    """The values with seals and hash made right, by rules written out again."""
    body = {key: value for key, value in values.items() if key not in ("seals", "sha256")}
    seals = {}
    for name, value in body.items():
        parts = {name: value}
        if isinstance(value, dict) and value:
            parts = {f"{name}.{key}": inner for key, inner in value.items()}
        elif isinstance(value, list) and value:
            parts = {f"{name}.{place}": inner for place, inner in enumerate(value)}
        seals |= {n: hashlib.sha256(canonical(v)).hexdigest()[:16] for n, v in parts.items()}
    body["seals"] = seals
    return spell({**body, "sha256": hashlib.sha256(canonical(body)).hexdigest()})


def forge(path: Path, change: Change, *, seed: int | None = None, name: str = "") -> Path:
    """A changed copy of a record beside it, or in its place where its run keeps its name; bits go
    with it. With `seed` its run id follows."""
    values = json.loads(path.read_text())
    run = values["run"]["id"]
    if seed is not None:
        values["seed"] = seed
        values["run_id"] = run_id(values["row_id"], seed)
        values["run"]["id"] = f"{run.rpartition('-s')[0]}-s{seed}-{values['run_id'][:10]}"
    change(values)
    if name:
        values["run"]["id"] = name
    target = path.with_name(f"{values['run']['id']}.json")
    if values.get("bits"):
        values["bits"]["file"] = f"{values['run']['id']}.bits"
        if target != path:
            shutil.copy(path.with_suffix(".bits"), target.with_suffix(".bits"))
    target.write_text(sealed_text(values))
    return target
