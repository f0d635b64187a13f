"""`ofa-bench report`: what it takes, what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from ofa_bench.records.store import Store

from .conftest import Bench, read


def test_a_data_set_by_name(bench: Bench, store: Store, output: Path) -> None:
    done = bench("report", "digits", "-o", output, "--results", store.results, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["bytes"] == output.stat().st_size
    assert "10 records" in read(output.read_text()).text


def test_two_records_are_held_against_each_other(bench: Bench, store: Store, output: Path) -> None:
    names = ["alpha-s0", "alpha-s1"]
    assert bench("report", *names, "-o", output, "--results", store.results).code == 0
    told = read(output.read_text())
    fields = [line[0] for line in told.table("field")]
    assert {"seed", "run.id", "run_id"} <= set(fields)
    assert "2 records" in told.text


def test_an_unreadable_record_is_named(
    bench: Bench, store: Store, output: Path, tmp_path: Path
) -> None:
    import shutil

    results = tmp_path / "results"
    shutil.copytree(store.results, results)
    broken = next(results.glob("records/digits/beta/*.json"))
    broken.write_text("{")
    assert bench("report", "-o", output, "--results", results).code == 0
    assert f"left out: {broken}" in read(output.read_text()).text


def test_refusals_are_sentences(bench: Bench, store: Store, output: Path, tmp_path: Path) -> None:
    empty = bench("report", "-o", output, "--results", tmp_path / "none")
    assert empty.code == 2
    assert "there are no records" in empty.err
    assert "ofa-bench run" in empty.err
    unknown = bench("report", "digit", "-o", output, "--results", store.results)
    assert unknown.code == 0  # a track by its beginning
    assert bench("report", "cifarr", "-o", output, "--results", store.results).code == 2
    missing = bench("report", tmp_path / "x.json", "-o", output, "--results", store.results)
    assert missing.code == 2
    assert bench("report", "--results", store.results).code == 2
    (tmp_path / "file").write_text("")
    unwritable = bench("report", "-o", tmp_path / "file" / "r.html", "--results", store.results)
    assert unwritable.code == 1
    assert "-o" in unwritable.err
    assert "Traceback" not in unwritable.err + missing.err + empty.err


def test_needs_no_torch(store: Store, output: Path) -> None:
    code = (
        "import sys; from ofa_bench.cli.main import main; "
        f"code = main(['report', '-o', {str(output)!r}, '--results', {str(store.results)!r}]); "
        "print(code, 'torch' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split()[-2:] == ["0", "False"]
