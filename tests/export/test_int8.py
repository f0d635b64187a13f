"""A quantised export: what it says of itself is what its file does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ofa_bench import api
from ofa_bench.deploy.export import proof
from ofa_bench.records.schema import Record
from ofa_bench.runs.finished import finished_run

from .untrained import subnets


def test_what_is_said_of_int8_is_so(trained: Record, results: Path, tmp_path: Path) -> None:
    session_of = pytest.importorskip("ofa_bench.deploy.export.formats.onnx_graph").session_of
    (net,) = subnets("toy", 1)
    run = trained.run.id
    done = api.export(run, net.to_json(), tmp_path / "net", formats=["int8-onnx"], results=results)
    facts = done.parity["formats"]["int8-onnx"]
    session = session_of((tmp_path / "net" / "model-int8.onnx").read_bytes())
    right = {"select": 0, "test": 0}
    with finished_run(run, results).open() as opened:
        for split in right:
            for batch in opened.source.evaluation(split, net.resolution, 250):
                images = np.ascontiguousarray(batch.images.numpy())
                (logits,) = session.run(["logits"], {"images": images})
                right[split] += int((logits.argmax(1) == batch.labels.numpy()).sum())
    assert facts["predictions"]["top1"] == pytest.approx(100 * right["test"] / 360)
    assert set(facts["top1_select"]) == {"per-tensor", "per-channel"}
    best = max(facts["top1_select"].values())
    assert facts["top1_select"][facts["scales"]] == best == pytest.approx(right["select"] / 2.4)
    assert 0 < facts["int8_convolutions"] <= 1
    assert facts["predictions"]["equal"] > 36  # chance
    slower = [line for line in facts["remarks"] if line.startswith("slower")]
    assert bool(slower) == (facts["speed"]["ratio"] < 1)
    lost = done.model.accuracy["test"].top1 - facts["predictions"]["top1"]
    assert any(line.startswith("loses") for line in facts["remarks"]) == (lost > 1e-9)
    assert facts["macs"] == done.model.macs
    card = (tmp_path / "net" / "README.md").read_text(encoding="utf-8")
    assert f"agrees on {facts['predictions']['equal']} of 360" in card


def test_what_is_slower_or_loses_is_told() -> None:
    import torch

    hits = proof.Predictions(torch.zeros(4), torch.ones(4), torch.tensor([0, 0, 0, 1]))
    facts = {"speed": {"ratio": 0.5}, "predictions": {"top1": 50.0}}
    lines = proof.remarks(facts, hits)
    assert lines[0].startswith("slower than fp32 here: 0.50")
    assert lines[1] == "loses 25.00 points of top-1 on 4 test images"
    assert proof.remarks({"speed": {"ratio": 2.0}, "predictions": {"top1": 75.0}}, hits) == []
