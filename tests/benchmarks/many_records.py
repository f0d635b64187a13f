"""A results folder of any number of records that hold: committed ones under other seeds and rows.

`python -m tests.benchmarks.many_records FOLDER 2000`
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ofa_bench.recipe.fingerprint import run_id
from ofa_bench.records.per_image import pack, unpack
from ofa_bench.records.schema import Record, plain, sealed
from ofa_bench.records.store import Store, read_bits
from ofa_bench.records.validation.identity import earlier

COMMITTED = Path(__file__).resolve().parents[2] / "results"
ROWS = 3  # of each committed row: its own and two with another learning rate


def copied(base: Record, raw: bytes, number: int, row: int) -> tuple[Record, bytes]:
    """The record under another seed, its test images in another order; of another row if asked."""
    values: dict[str, Any] = plain(base)
    values["seed"] = number
    if row:
        values["science"]["optim"]["lr"] *= 1 + row / 1000
        values["row_id"] = min(earlier(sealed(values)))
    values["run_id"] = run_id(values["row_id"], number)
    name = f"{values['run']['id'].rpartition('-s')[0]}-s{number}-{values['run_id'][:10]}"
    values["run"] |= {"id": name, "prefix": None}
    values["weights_sha256"] = hashlib.sha256(name.encode()).hexdigest()
    assert base.bits is not None
    order = np.random.default_rng(number).permutation(base.bits.layout.images)
    bits, layout = pack(unpack(raw, base.bits.layout)[:, order])
    digest = hashlib.sha256(bits).hexdigest()
    values["bits"] = {"file": f"{name}.bits", "sha256": digest, "layout": layout}
    return sealed(values), bits


def make(results: Path, count: int) -> None:
    """Write so many records below a results folder."""
    store = Store(results)
    entries = [
        entry
        for entry in Store(COMMITTED).list()
        if entry.record.status == "ok" and entry.record.identity is None
    ]
    for number in range(count):
        base = entries[number % len(entries)]
        raw = read_bits(base.path, base.record)
        assert raw is not None
        row = number // len(entries) % ROWS
        store.write(*copied(base.record, raw, number, row))


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]))
