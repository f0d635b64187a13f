"""Each deliberately broken plugin is caught by its clause, with the line to mend."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ofa_bench.testing import check_plugin, contract

from .broken import BROKEN, DISTILL, HEAD, REGISTER, SOUND, Broken


@pytest.mark.parametrize("broken", BROKEN, ids=str)
def test_broken_plugin_is_caught(broken: Broken, tmp_path: Path) -> None:
    file = tmp_path / f"{broken.name}_plugin.py"
    file.write_text(broken.source)
    report = check_plugin(file, trains=False)
    caught = [verdict for verdict in report.broken if verdict.clause == broken.clause]
    assert caught, str(report)
    assert any(broken.word in verdict.observed for verdict in caught), str(report)
    assert re.match(rf"{file.name}:\d+", caught[0].where), str(caught[0])
    if broken.line:
        assert caught[0].where.startswith(f"{file.name}:{broken.number}"), str(caught[0])
    assert caught[0].expected and caught[0].see


@pytest.mark.parametrize("kind", SOUND)
def test_the_sound_ones_are_sound(kind: str, tmp_path: Path) -> None:
    file = tmp_path / f"sound_{kind}.py"
    file.write_text(HEAD + SOUND[kind] + REGISTER.format(kind=kind, name="sound"))
    report = check_plugin(file, trains=False)
    assert report.ok, str(report)


@pytest.mark.parametrize(
    ("source", "word", "line"),
    [
        (HEAD + "raise RuntimeError('half-way')\n", "half-way", "raise "),
        (HEAD + "x = (\n", "SyntaxError", "x = ("),
        (HEAD + "raise SystemExit(3)\n", "SystemExit", "raise "),
        (HEAD + DISTILL, "no `register`", "from __future__"),
        (HEAD + DISTILL + REGISTER.format(kind="distill", name="inplace"), "both", "@hookimpl"),
        (
            HEAD + DISTILL + REGISTER.format(kind="distil", name="mine"),
            "no attribute 'distil'",
            "catalogue.distil(",
        ),
        (
            HEAD + DISTILL + REGISTER.format(kind="distill", name="a b"),
            "illegal name",
            "catalogue.distill(",
        ),
        (HEAD + "ofa_bench_api = '2'\n" + DISTILL, "API '2'", "ofa_bench_api"),
    ],
    ids=["raises", "syntax", "exits", "no-register", "clash", "attribute", "name", "api"],
)
def test_one_that_cannot_be_registered(source: str, word: str, line: str, tmp_path: Path) -> None:
    file = tmp_path / "unfit.py"
    file.write_text(source)
    (verdict,) = check_plugin(file).verdicts
    assert verdict.ok is False
    assert word in verdict.observed
    number = next(n for n, each in enumerate(source.splitlines(), 1) if line in each)
    assert re.match(rf"unfit.py:{number}\b", verdict.where), str(verdict)


def test_one_that_drags_torch_in(tmp_path: Path) -> None:
    file = tmp_path / "heavy.py"
    text = HEAD + SOUND["lr"] + REGISTER.format(kind="lr", name="heavy")
    file.write_text(text.replace("import os\n", "import torch\n"))
    (verdict,) = check_plugin(file, trains=False).broken
    assert verdict.clause == "importing it loads no heavy library"
    assert "imports torch" in verdict.observed


def test_one_that_looks_at_its_rank(tmp_path: Path) -> None:
    file = tmp_path / "ranked.py"
    body = SOUND["shrink"].replace(
        "step.draw_rng(n)", "step.rng(os.environ.get('RANK', '0') + str(n))"
    )
    file.write_text(HEAD + body + REGISTER.format(kind="shrink", name="ranked"))
    (held,) = [
        each for each in contract(file) if each.rule.name == "two ranks train like one process"
    ]
    verdict = held.verdict()
    assert verdict.ok is False
    assert "rank 1 answers differently: draws differ" in verdict.observed
    assert verdict.where.startswith("ranked.py:")


EXPORTER = """from ofa_bench import hookimpl
from ofa_bench.deploy.export.formats.weights import WeightsExporter

class Zeroing(WeightsExporter):
    def write(self, model, folder):
        {change}
        super().write(model, folder)

@hookimpl
def register(catalogue):
    catalogue.exporter("zeroing", Zeroing)
"""


@pytest.mark.parametrize(
    ("change", "clause", "word"),
    [
        ("model.folded.trunk.stem.weight.zero_()", "the file computes", "logits"),
        ("(folder / 'notes.txt').touch()", "writes the files", "notes.txt"),
    ],
)
def test_a_broken_exporter_is_caught(change: str, clause: str, word: str, tmp_path: Path) -> None:
    file = tmp_path / "zeroing_plugin.py"
    file.write_text(EXPORTER.format(change=change))
    report = check_plugin(file)
    (caught,) = report.broken
    assert caught.clause.startswith(clause) and word in caught.observed, str(report)
    assert caught.where.startswith(f"{file.name}:5") and caught.see == "docs/deploy.md"
