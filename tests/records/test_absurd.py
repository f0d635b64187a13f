"""One absurd record in a results folder: a line says so, and everything else is shown."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ofa_bench.cli.main import main
from tests.records.factory import make
from tests.records.forgery import record, results, sealed_text

Document = dict[str, Any]
PATIENCE = 60.0  # seconds that no command comes near, unless it loops
HUGE = 10**9


def put(*path: str | int, value: Any) -> Callable[[Document], None]:
    def change(values: Document) -> None:
        inner: Any = values
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = value

    return change


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


ABSURD: dict[str, Callable[[Document], None]] = {
    "seed of 1e9": put("seed", value=HUGE),
    "seed of 1e300": put("seed", value=10**300),
    "scores empty": put("scores", value=[]),
    "summary without scores": put("scores", value=[]),
    "no curve, no phases": put("cost", "phases", value=[]),
    "integer beyond float": put("science", "optim", "batch", value=10**400),
    "MACs beyond float": put("scores", 0, "macs", value=10**400),
    "train_macs beyond float": put("cost", "train_macs", value=10**400),
    "steps beyond float": put("cost", "phases", 0, "steps", value=10**400),
    "classes 0": put("task", "classes", value=0),
    "classes 1e12": put("task", "classes", value=10**12),
    "lone surrogate in the command": put("run", "command", value="ofa-bench run \ud800"),
    "lone surrogate in the method": put("method", "name", value="\udfff"),
    "lone surrogate in a science key": put("science", "\ud800", value=1),
    "lone surrogate in the error": put("error", value="\ud834"),
    "deep nesting": put("science", "deep", value=nested(500)),
    "nesting of 60": put("origins", value=nested(60)),
    "buckets of 1e9": put("science", "evaluate", "buckets", value=HUGE),
    "per_bucket of 1e9": put("science", "evaluate", "per_bucket", value=HUGE),
    "per_bucket of 1e9 in the task": put("task", "candidates", "per_bucket", value=HUGE),
    "resolutions of 1e9": put("task", "resolutions", value=[HUGE]),
    "budget as a list": put("science", "budget", value=[1, 2]),
    "budget as a text": put("science", "budget", "epochs", value="many"),
    "evaluate as null": put("science", "evaluate", value=None),
    "optim as a number": put("science", "optim", value=3),
    "published 0": put("science", "budget", "published", value=0),
    "epochs nan": put("science", "budget", "epochs", value=float("nan")),
    "bonus infinite": put("summary", "selection_bonus", value=float("inf")),
    "threads 0": put("machine", "threads", value=0),
    "cores 1e18": put("machine", "cores", value=10**18),
    "time of the year 1": put("run", "finished", value="0001-01-01T00:00:00Z"),
    "no time": put("run", "finished", value="yesterday"),
    "layout of 1e15 rows": put("bits", "layout", "rows", value=10**15),
    "curve that goes back": put("curve", value=[{"step": 3, "epoch": 1, "phase": "x",
                                                 "largest": None, "smallest": None}] * 2),
    "stages not lists": put("task", "space", "description", "stages", value="none"),
    "subnet of nothing": put("scores", 0, "subnet", value={}),
    "a null byte": put("method", "composition", value="a\x00b"),
    "top level list": lambda values: values.clear(),
}  # fmt: skip


def written(folder: Path, kind: str, sealed: bool) -> Path:
    """The absurd record, in a folder of its own beside the good ones."""
    results(folder, "ofa", "deps")
    path, good = record(folder, "deps"), record(folder, "ofa")
    values = json.loads(path.read_text())
    for other in folder.rglob("*.*"):
        if other.stem not in (path.stem, good.stem):
            other.unlink()
    ABSURD[kind](values)
    try:
        text = sealed_text(values) if sealed else json.dumps(values)
    except ValueError:
        text = json.dumps(values)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("kind", "sealed"),
    [*((kind, True) for kind in ABSURD), *((kind, False) for kind in list(ABSURD)[::6])],
)
def test_an_absurd_record_is_a_line_and_the_others_are_shown(
    kind: str, sealed: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, kind, sealed)
    where, start = ["--results", str(tmp_path)], time.monotonic()
    assert main(["board", "--json", *where]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    (row,) = [row for row in found["rows"] if row["method"] == "ofa"]
    assert row["n"] == 1 and row["mean_pareto_accuracy"]["mean"] > 50
    assert path.name in json.dumps(found.get("unranked", [])), kind
    assert main(["runs", "--json", *where]) == 0
    captured = capsys.readouterr()
    assert captured.out.count("ofa-digits") >= 1
    assert main(["validate", str(path)]) == 1
    assert time.monotonic() - start < PATIENCE
    assert "this is a bug" not in captured.err + capsys.readouterr().err


@pytest.mark.parametrize("kind", ["scores empty", "budget as a list", "deep nesting"])
def test_a_report_leaves_it_out_and_says_so(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, kind, sealed=True)
    page = tmp_path / "page.html"
    assert main(["report", "-o", str(page), "--results", str(tmp_path)]) == 0
    text = page.read_text()
    assert path.name in text and "1 record" in text


def test_a_lawful_seed_of_two_billion_is_shown_with_its_gap(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from ofa_bench.leaderboard.rows import rows
    from ofa_bench.records.store import Store, StoredRecord

    store, start = Store(tmp_path), time.monotonic()
    record, bits = make("alpha", 2_000_000_000)
    (row,) = rows([StoredRecord(store.write(record, bits), record)])
    assert row.n == 1
    assert any("1999999980 more are missing" in note for note in row.notes)
    assert main(["board", "--results", str(tmp_path)]) == 0
    assert "alpha" in capsys.readouterr().out
    assert time.monotonic() - start < PATIENCE


def test_a_space_with_absurd_tables_is_refused(tmp_path: Path) -> None:
    """A table that a record carries is bounded too."""
    from dataclasses import asdict

    from pydantic import ValidationError

    from ofa_bench.records.tables import SpaceTable
    from tests.records.factory import space

    table = {k: v for k, v in asdict(space().table).items() if k not in ("name", "costs")}
    assert SpaceTable.model_validate(table)
    for row in ({"width": 10**12}, {"depth": [HUGE]}, {"kernel": list(range(1, 2000))}):
        rows = [{**table["rows"][0], **row}]
        with pytest.raises(ValidationError):
            SpaceTable.model_validate({**table, "rows": rows})
