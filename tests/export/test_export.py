"""What an export holds, that it is what was measured, and that it runs without us."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import ofa_bench
from ofa_bench import UsageError, api
from ofa_bench.cli.main import main
from ofa_bench.deploy.export.pipeline import ExportedModel
from ofa_bench.records.per_image import unpack
from ofa_bench.records.schema import Record
from ofa_bench.records.store import Store, read_bits
from ofa_bench.runs.finished import finished_run

from .bare import bare_environment

FORMATS = ("safetensors", "onnx", "pt2")


def recorded(record: Record, results: Path, subnet: Any) -> np.ndarray[Any, Any]:
    """Whether each test image is classified right, as the record has it."""
    stored = Store(results).find(record.run.id)
    assert record.bits is not None
    bits = read_bits(stored.path, record)
    assert bits is not None
    row = next(n for n, score in enumerate(record.scores) if score.subnet == subnet)
    return unpack(bits, record.bits.layout)[row]


@pytest.fixture(scope="module")
def held_out(trained: Record, results: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Test images, normalised, and their labels."""
    with finished_run(trained.run.id, results).open() as opened:
        resolution = opened.assembly.space.smallest.resolution
        batches = list(opened.source.evaluation("test", resolution, 250))
    images = torch.cat([batch.images for batch in batches]).contiguous()
    return images.numpy(), torch.cat([batch.labels for batch in batches]).numpy()


def test_every_format_is_proved(exported: ExportedModel, trained: Record) -> None:
    parity, model = exported.parity, exported.model
    score = next(score for score in trained.scores if score.subnet == model.subnet)
    assert tuple(parity["formats"]) == FORMATS == model.formats
    for facts in parity["formats"].values():
        assert set(facts["logits"]) == {"1", "2", "7"}
        assert max(facts["logits"].values()) <= 1e-4
        assert facts["predictions"] == {
            "images": 360, "equal": 360, "ties": 0, "top1": score.top1_test
        }  # fmt: skip
        assert facts["macs"] == model.macs == score.macs
        assert all(len(digest) == 64 for digest in facts["files"].values())
    assert parity["record"] == {"images": 360, "equal": 360}
    assert parity["formats"]["onnx"]["opset"] >= 18
    assert parity["formats"]["onnx"]["batch"] == "batch"


def test_model_json_says_what_it_is(exported: ExportedModel, trained: Record) -> None:
    model = json.loads((exported.folder / "model.json").read_text(encoding="utf-8"))
    score = next(score for score in trained.scores if score.subnet == model["subnet"])
    assert model["classes"] == [str(digit) for digit in range(10)]
    assert model["parameters"] == score.params == exported.model.architecture.parameters(10)
    for split, top1 in (("select", score.top1_select), ("test", score.top1_test)):
        value = model["accuracy"][split]
        assert value["top1"] == top1
        assert 0 <= value["low"] < top1 < value["high"] <= 100
    assert model["run"]["record_sha256"] == trained.sha256
    assert model["calibration"] == trained.task.calibration
    names = {path.name for path in exported.folder.iterdir()}
    files = {"model.onnx", "model.pt2", "folded.safetensors", "unfolded.safetensors"}
    assert names == {"model.json", "parity.json", "README.md", *files}


def test_the_card_is_one_that_the_hub_reads(exported: ExportedModel) -> None:
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard((exported.folder / "README.md").read_text(encoding="utf-8"))
    assert card.data.library_name == "ofa-bench"
    values = [result.metric_value for result in card.data.eval_results]
    assert values == [round(v.top1 / 100, 4) for v in exported.model.accuracy.values()]
    assert "ofa_bench.load(" in card.text


def test_no_path_of_this_machine_is_in_the_files(exported: ExportedModel) -> None:
    for path in exported.folder.iterdir():
        raw = path.read_bytes()
        assert str(Path(ofa_bench.__file__).parent).encode() not in raw, path
        assert str(Path(torch.__file__).parent).encode() not in raw, path


def test_loading_imports_neither_network_nor_engine(exported: ExportedModel) -> None:
    code = f"""
import sys, ofa_bench
assert "torch" not in sys.modules
net = ofa_bench.load({str(exported.folder)!r})
import torch
modules = [m for m in net.modules() if next(m.parameters(recurse=False), None) is not None]
layers = {{type(m).__module__ for m in modules}}
assert all(name.startswith("torch.nn.") for name in layers), layers
assert not net.training and not any(p.is_meta for p in net.parameters())
assert net(torch.zeros(3, 3, 8, 8)).shape == (3, len(net.classes))
rooms = ("nets", "training", "evaluation", "runs", "planning", "data.sources", "deploy.export")
held = [m for m in sys.modules if m.startswith(tuple("ofa_bench." + room for room in rooms))]
assert not held, held
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("folded", [True, False])
def test_what_is_loaded_classifies_as_recorded(
    exported: ExportedModel, trained: Record, results: Path, held_out: Any, folded: bool
) -> None:
    images, labels = held_out
    net = ofa_bench.load(exported.folder, folded=folded)
    with torch.no_grad():
        answers = net(torch.from_numpy(images)).argmax(1).numpy()
    assert ((answers == labels) == recorded(trained, results, exported.model.subnet)).all()


def test_a_loaded_net_trains_on(exported: ExportedModel) -> None:
    net = ofa_bench.load(exported.folder, folded=False).train()
    net(torch.randn(4, 3, 8, 8)).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_images_are_prepared_as_evaluation_does(
    exported: ExportedModel, trained: Record, results: Path, held_out: Any
) -> None:
    net = ofa_bench.load(exported.folder)
    with finished_run(trained.run.id, results).open() as opened:
        split = opened.source.splits["test"]
        pixels = split.whole.images.pixels[split.row_index[:50]].numpy()
    ready = torch.stack([net.transform(Image.fromarray(image)) for image in pixels])
    assert (ready.numpy() == held_out[0][:50]).all()


BARE = """
import sys, json, numpy, onnxruntime
for name in ("torch", "ofa_bench"):
    try: __import__(name)
    except ImportError: continue
    raise SystemExit(name + " is here")
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
(logits,) = session.run(["logits"], {"images": numpy.load(sys.argv[2])})
print(json.dumps(logits.argmax(1).tolist()))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="links packages")
def test_the_onnx_file_runs_without_torch_and_without_us(
    exported: ExportedModel, trained: Record, results: Path, held_out: Any, tmp_path: Path
) -> None:
    images, labels = held_out
    np.save(tmp_path / "images.npy", images)
    python = bare_environment(tmp_path / "bare")
    words = [python, "-I", "-c", BARE, exported.folder / "model.onnx", tmp_path / "images.npy"]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answers = np.array(json.loads(done.stdout))
    assert ((answers == labels) == recorded(trained, results, exported.model.subnet)).all()


def test_the_command_says_what_it_wrote(
    trained: Record, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", trained.run.id, "--subnet", "k3e2d1", "-o", str(tmp_path / "net")]
    words += ["--format", "safetensors", "--results", str(results), "--json"]
    assert main(words) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["model"]["subnet"]["depth"] == [1, 1, 1]
    assert answer["parity"]["formats"]["safetensors"]["predictions"]["equal"] == 360
    (tmp_path / "net" / "folded.safetensors").unlink()
    with pytest.raises(UsageError, match="cannot be read"):
        ofa_bench.load(tmp_path / "net")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--subnet", "k9e9d9"], 2),
        (["--subnet", "largest", "--format", "onyx"], 2),
        (["--subnet", "largest", "--macs", "3M"], 2),
        ([], 2),
        (["--macs", "3M"], 2),
    ],
)
def test_the_command_refuses_in_a_sentence(
    words: list[str],
    code: int,
    trained: Record,
    results: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = ["export", trained.run.id, *words, "-o", str(tmp_path / "net")]
    assert main([*line, "--results", str(results)]) == code
    said = capsys.readouterr().err
    assert said and "Traceback" not in said
    assert not (tmp_path / "net").exists()


def test_python_and_the_command_refuse_alike(trained: Record, results: Path) -> None:
    with pytest.raises(UsageError, match="format"):
        api.export(trained.run.id, "largest", "x", formats=(), results=results)
