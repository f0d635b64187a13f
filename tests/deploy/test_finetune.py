"""A subnet trained on: it begins as what it was, and its record says what it stands on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ofa_bench import api, seeding
from ofa_bench.cli.main import main
from ofa_bench.deploy.finetune import Finetuned
from ofa_bench.deploy.one_net import weights_of
from ofa_bench.errors import ResumeError, UsageError
from ofa_bench.nets.mbconv import build
from ofa_bench.records.schema import Record, plain
from ofa_bench.records.store import Store
from ofa_bench.records.validation.validate import validate
from ofa_bench.runs.record_checks import record_checks
from ofa_bench.space import load_space
from ofa_bench.space.one_net import table_text


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("finetune") / "results"


@pytest.fixture(scope="module")
def parent(results: Path) -> Record:
    return api.run(
        method="deps", dataset="digits", space="toy", epochs=1, results=results, device="cpu",
        set=["data.select=200", "net.norm_eps=1e-4"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def subnet(parent: Record) -> Any:
    names = [score for score in parent.scores if not score.name.startswith("k")]
    return names[0]


@pytest.fixture(scope="module")
def tuned(parent: Record, results: Path, subnet: Any) -> Finetuned:
    return api.finetune(parent.run.id, subnet=subnet.name, epochs=2, results=results)


@pytest.mark.parametrize("name", ["toy", "laptop-8", "proxylessnas-ofa-w1.3-32"])
def test_the_network_begins_as_the_subnet(name: str, tmp_path: Path) -> None:
    space = load_space(name)
    net = build(space, 7, seed=1)
    with torch.no_grad():
        for key, parameter in net.named_parameters():
            if "matrix_" in key or "norm" in key:
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    net = net.double()
    for index in range(3):
        subnet = space.sample(seeding.rng("finetune", name, index))
        path = tmp_path / f"net{index}.toml"
        path.write_text(table_text(space, subnet))
        single = load_space(path)
        assert len(single) == 1
        assert single.macs(single.largest, 7) == space.macs(subnet, 7)
        assert single.params(single.largest, 7) == space.params(subnet, 7)
        alone = build(single, 7, seed=2).double()
        weights = weights_of(net, subnet)
        assert weights.keys() == dict(alone.named_parameters()).keys()
        alone.load_state_dict(weights)
        x = torch.randn(4, 3, subnet.resolution, subnet.resolution, dtype=torch.float64)
        net.activate(subnet)
        with torch.no_grad():
            assert torch.allclose(net(x), alone(x), rtol=0, atol=1e-12)


def test_it_stands_beside_what_it_was(tuned: Finetuned, parent: Record, subnet: Any) -> None:
    before, record = tuned.before, tuned.record
    assert (before.top1_select, before.top1_test) == (subnet.top1_select, subnet.top1_test)
    assert before.train_macs == parent.cost.train_macs
    assert record.ancestor == before
    assert record.ancestor.record_sha256 == parent.sha256
    assert 0 < record.cost.train_macs < parent.cost.train_macs
    assert [score.macs for score in record.scores] == [subnet.macs]
    assert record.science["net"]["norm_eps"] == 1e-4
    assert record.task.splits == parent.task.splits  # no image changed sides
    assert record.task.calibration == parent.task.calibration
    assert record.scores[0].top1_test > before.top1_test  # one epoch leaves much to learn


def test_its_record_holds(tuned: Finetuned, results: Path) -> None:
    path = Store(results).path(tuned.record)
    findings = validate(path, record_checks())
    assert [finding for finding in findings if not finding.unknown] == []
    fields = plain(tuned.record)
    fields["ancestor"]["train_macs"] = 1
    path.with_name("changed.json").write_text(json.dumps(fields))
    findings = validate(path.with_name("changed.json"), record_checks())
    path.with_name("changed.json").unlink()
    assert "ancestor.train_macs" in [finding.field for finding in findings]


def test_later_commands_need_no_trust(tuned: Finetuned, results: Path) -> None:
    """Its table lies in the same results, with the hash that the run began with."""
    run = tuned.record.run.id
    score = api.evaluate(run, ["largest"], results=results)[0]
    assert score.top1_test == tuned.record.scores[0].top1_test
    table = next((results / "subnets").glob("*.toml"))
    text = table.read_text()
    table.write_text(text + "# changed\n")
    try:
        with pytest.raises(UsageError, match="used only if you name it"):
            api.evaluate(run, ["largest"], results=results)
    finally:
        table.write_text(text)


def test_the_same_line_twice_trains_once(
    tuned: Finetuned, parent: Record, subnet: Any, results: Path
) -> None:
    again = api.finetune(parent.run.id, subnet=subnet.name, epochs=2, results=results)
    assert again == tuned


def test_what_cannot_be_tuned_is_refused(parent: Record, results: Path) -> None:
    with pytest.raises(UsageError, match="kernel"):
        api.finetune(parent.run.id, subnet="k9e2d1", epochs=1, results=results)
    with pytest.raises(UsageError, match="no begun run"):
        api.finetune("nobody", subnet="largest", epochs=1, results=results)
    with pytest.raises(UsageError, match="epochs"):
        api.finetune(parent.run.id, subnet="largest", epochs=0, results=results)
    weights = results / "runs" / parent.run.id / "weights.safetensors"
    moved = weights.rename(weights.with_name("elsewhere"))
    try:
        with pytest.raises(ResumeError, match="is not finished"):
            api.finetune(parent.run.id, subnet="largest", epochs=1, results=results)
    finally:
        moved.rename(weights)


def test_both_accuracies_stand_side_by_side(
    tuned: Finetuned, parent: Record, subnet: Any, results: Path, capsys: Any
) -> None:
    words = ["finetune", parent.run.id, "--subnet", subnet.name, "--epochs", "2"]
    assert main([*words, "--results", str(results)]) == 0
    shown = capsys.readouterr().out
    lines = {line.partition("  ")[0]: line for line in shown.splitlines()}
    assert f"{tuned.before.top1_test:.2f}" in lines["without retraining"]
    assert f"{tuned.record.scores[0].top1_test:.2f}" in lines["fine-tuned"]
    assert "n = 360" in shown
    assert "on top of" in shown
    assert main([*words, "--results", str(results), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ancestor"]["top1_test"] == tuned.before.top1_test
