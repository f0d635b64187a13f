"""The methods and the extra stand on one table, and their records hold."""

from __future__ import annotations

import json

from ofa_bench import api
from ofa_bench.records.store import Store
from ofa_bench.records.validation.validate import validate
from ofa_bench.runs.record_checks import record_checks

SMALL = ("evaluate.per_bucket=1", "evaluate.curve=0", "evaluate.buckets=1")
NAMES = ["alphanet", "attentivenas", "fairnas", "random-subnet", "spos"]
TOY = {"dataset": "digits", "space": "toy", "epochs": 0.4, "set": SMALL}


def test_one_table(tmp_path):
    """A row for each; what each record says of its steps, passes and MACs is recomputed."""
    records = api.compare(NAMES, [0], **TOY, results=tmp_path)
    assert [(record.method.name, record.status) for record in records] == [
        (name, "ok") for name in NAMES
    ]
    (board,) = (tmp_path / "boards").glob("*.json")
    rows = json.loads(board.read_text(encoding="utf-8"))["rows"]
    assert sorted(row["method"] for row in rows) == NAMES
    store = Store(tmp_path)
    for record in records:
        assert validate(store.path(record), record_checks()) == []


def test_the_extra_is_part_of_a_run(tmp_path):
    """Another run than without it, recorded with its code."""
    words = {"method": "bignas", "results": tmp_path, **TOY}
    plain, projected = api.run(**words), api.run(**words, extras=("nasvit",))
    (extra,) = projected.method.extras
    assert (extra.name, extra.distribution) == ("nasvit", "ofa-bench")
    assert "class Yielding" in extra.source.text
    assert projected.run_id != plain.run_id
