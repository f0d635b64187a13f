"""An export that fails says why and leaves nothing; strangers' folders are refused."""

from __future__ import annotations

import copy
import json
import os
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import ofa_bench
from ofa_bench import BenchError, UsageError, api
from ofa_bench.deploy.export import proof
from ofa_bench.deploy.export.exporter import Deployable
from ofa_bench.deploy.export.formats.onnx_graph import OnnxExporter
from ofa_bench.deploy.export.formats.program import ProgramExporter
from ofa_bench.deploy.export.formats.weights import WeightsExporter
from ofa_bench.deploy.export.pipeline import ExportedModel
from ofa_bench.errors import ResumeError
from ofa_bench.records.schema import Record

EXPORTERS = {"safetensors": WeightsExporter, "onnx": OnnxExporter, "pt2": ProgramExporter}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "out" / "net"
    folder.parent.mkdir()
    return folder


@contextmanager
def nothing_changes(target: Path) -> Iterator[None]:
    """The folder that holds the target is afterwards as it was before."""

    def listing() -> dict[str, bytes | None]:
        paths = sorted(target.parent.rglob("*"))
        return {str(path): path.read_bytes() if path.is_file() else None for path in paths}

    before = listing()
    yield
    assert listing() == before


def attempt(trained: Record, results: Path, target: Path, **options: Any) -> ExportedModel:
    options = {"subnet": "smallest", "formats": ("safetensors",), **options}
    return api.export(trained.run.id, folder=target, results=results, **options)


@pytest.mark.parametrize("name", EXPORTERS)
def test_a_format_that_computes_something_else_names_the_layer(
    name: str, trained: Record, results: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = EXPORTERS[name].write

    def other(self: Any, model: Deployable, folder: Path) -> None:
        net: Any = copy.deepcopy(model.folded)
        net.stage2_block1.depthwise.weight.mul_(1.5)
        write(self, replace(model, folded=net, unfolded=net), folder)

    monkeypatch.setattr(EXPORTERS[name], "write", other)
    monkeypatch.setattr(proof, "BATCHES", (2,))
    if name == "safetensors":  # its unfolded half would not even have the keys
        monkeypatch.setattr("ofa_bench.deploy.export.formats.weights.load", folded_twice)
    message = r"logits of 2 images differ .*; stage2_block1\.depthwise parts first"
    with nothing_changes(target), pytest.raises(BenchError, match=message):
        attempt(trained, results, target, formats=(name,))


def folded_twice(folder: Path, folded: bool = True) -> Any:
    return ofa_bench.load(folder)


class Recited:
    """A file that answers what a test wants."""

    def __init__(self, logits: Any, macs: int = 0) -> None:
        self.answer, self.count = logits, macs

    def logits(self, images: Any) -> Any:
        return self.answer[: len(images)]

    def macs(self) -> int:
        return self.count


def test_another_class_for_one_image_fails_and_a_tie_is_counted() -> None:
    logits = np.eye(4, dtype=np.float32)
    batches = [(torch.zeros(4, 3, 2, 2), torch.arange(4))]
    expected = proof.Predictions(torch.arange(4), torch.ones(4), torch.arange(4))
    same = proof.check_predictions("x", Recited(logits), expected, batches, True)
    assert same == {"images": 4, "equal": 4, "ties": 0, "top1": 100.0}
    logits[2] = [1, 0, 0, 0]
    with pytest.raises(BenchError, match=r"1 of 4 test images .* the first is image 2"):
        proof.check_predictions("x", Recited(logits), expected, batches, True)
    assert proof.check_predictions("x", Recited(logits), expected, batches, False)["equal"] == 3
    close = replace(expected, margin=torch.full((4,), 1e-6))
    assert proof.check_predictions("x", Recited(logits), close, batches, True)["ties"] == 1


def test_other_multiply_accumulates_fail() -> None:
    assert proof.check_macs("x", Recited(None, 7), 7) == 7
    with pytest.raises(BenchError, match=r"has 7 .* counts 8"):
        proof.check_macs("x", Recited(None, 7), 8)


LIBRARIES = [
    ("onnx", "onnx", "export"),
    ("onnxscript", "onnx", "export"),
    ("onnxruntime", "int8-onnx", "export"),
    ("openvino", "openvino", "openvino"),
]


@pytest.mark.parametrize(("library", "name", "extra"), LIBRARIES)
def test_a_missing_library_is_told_before_anything_is_written(
    library: str,
    name: str,
    extra: str,
    trained: Record,
    results: Path,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with nothing_changes(target), pytest.raises(UsageError, match=library) as caught:
        attempt(trained, results, target, formats=("safetensors", name))
    assert caught.value.hint == f"pip install 'ofa-bench[{extra}]'"


def test_a_disk_that_fills_up(trained: Record, results: Path, target: Path) -> None:
    bounds = resource.getrlimit(resource.RLIMIT_FSIZE)
    with nothing_changes(target), pytest.raises(BenchError, match="cannot write") as caught:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, bounds[1]))
            attempt(trained, results, target)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, bounds)
    assert caught.value.exit_code == 1 and "-o DIR" in caught.value.hint


def test_an_interrupt_leaves_the_earlier_export(
    trained: Record,
    results: Path,
    exported: ExportedModel,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(exported.folder, target)

    def stopped(self: object, folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, nothing_changes(target):
        patch.setattr(WeightsExporter, "read", stopped)
        with pytest.raises(KeyboardInterrupt):
            attempt(trained, results, target, subnet="largest")
    attempt(trained, results, target, subnet="largest")
    assert ofa_bench.load(target).model.subnet != exported.model.subnet
    assert not (target / "model.onnx").exists()
    assert [path.name for path in target.parent.iterdir()] == ["net"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subnet": {"kernel": 3, "expand": 9, "depth": 1}}, "9"),
        ({"subnet": "k9e9d9"}, "depth 9"),
        ({"formats": ("onyx",)}, "onyx"),
        ({"formats": ()}, "no format"),
        ({"formats": "onnx"}, "no format"),
    ],
)
def test_what_cannot_be_exported_is_refused(
    options: dict[str, Any], message: str, trained: Record, results: Path, target: Path
) -> None:
    with nothing_changes(target), pytest.raises(UsageError, match=message) as caught:
        attempt(trained, results, target, **options)
    assert caught.value.hint


def test_an_unfinished_run_has_nothing_to_export(
    trained: Record, results: Path, target: Path, tmp_path: Path
) -> None:
    shutil.copytree(results, tmp_path / "begun")
    (tmp_path / "begun/runs" / trained.run.id / "weights.safetensors").unlink()
    with nothing_changes(target), pytest.raises(ResumeError, match="not finished"):
        attempt(trained, tmp_path / "begun", target)


def a_file(target: Path) -> None:
    target.write_text("mine")


def a_link(target: Path) -> None:
    (target.parent / "elsewhere").mkdir()
    target.symlink_to(target.parent / "elsewhere")


def notes(target: Path) -> None:
    target.mkdir()
    (target / "notes.txt").write_text("mine")


def another_model(target: Path) -> None:
    target.mkdir()
    (target / "model.json").write_text('{"library": "another"}')


@pytest.mark.parametrize("make", [a_file, a_link, notes, another_model])
def test_a_folder_of_others_is_not_overwritten(
    make: Callable[[Path], None], trained: Record, results: Path, target: Path
) -> None:
    make(target)
    with nothing_changes(target), pytest.raises(UsageError, match="net"):
        attempt(trained, results, target)


def test_notes_in_an_export_are_not_lost(
    exported: ExportedModel, trained: Record, results: Path, target: Path
) -> None:
    shutil.copytree(exported.folder, target)
    (target / "notes.txt").write_text("mine")
    with nothing_changes(target), pytest.raises(UsageError, match=r"notes\.txt"):
        attempt(trained, results, target)


def test_an_empty_folder_is_filled(trained: Record, results: Path, target: Path) -> None:
    target.mkdir()
    assert ofa_bench.load(attempt(trained, results, target).folder).classes


# --- folders of strangers ------------------------------------------------------------------------


def into(*path: str | int, value: Any) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        for part in path[:-1]:
            model = model[part]
        model[path[-1]] = value

    return change


WIDE = {"final": 65536, "mix": 65536, "act": "relu"}
CHANGES: dict[str, Callable[[Any], None]] = {
    "another library": into("library", value="other"),
    "a later version": into("version", value=2),
    "a strange key": into("path", value="/etc/passwd"),
    "a huge width": into("architecture", "blocks", 0, "middle", value=2**40),
    "many parameters": into("architecture", "head", value=WIDE),
    "an even kernel": into("architecture", "blocks", 0, "kernel", value=4),
    "a block twice": into("architecture", "blocks", 1, "name", value="stage1_block1"),
    "a name that is a path": into("architecture", "blocks", 0, "name", value="../stage1"),
    "an unknown activation": into("architecture", "stem", "act", value="os.system"),
    "no classes": into("classes", value=[]),
    "a class less": into("classes", value=["0"] * 9),
    "another width": into("architecture", "blocks", 0, "outputs", value=16),
    "no number": into("architecture", "norm_eps", value="NaN"),
    "a deviation of zero": into("input", "std", value=[0, 1, 1]),
    "a resize without end": into("input", "resize", value=10**6),
    "a class that paints": into("classes", 3, value="\x1b[31mred"),
    "nothing": lambda model: model.clear(),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_model_file_is_refused(
    change: str, exported: ExportedModel, tmp_path: Path
) -> None:
    folder = shutil.copytree(exported.folder, tmp_path / "net")
    model = json.loads((folder / "model.json").read_text())
    CHANGES[change](model)
    (folder / "model.json").write_text(json.dumps(model))
    with pytest.raises(UsageError) as caught:
        ofa_bench.load(folder)
    assert caught.value.hint and len(caught.value.message) < 600


def copied(path: Path) -> dict[str, torch.Tensor]:
    """What is read is a map of the file; that may not be written over."""
    return {name: value.clone() for name, value in load_file(path).items()}


def pickled(path: Path) -> None:
    torch.save(copied(path), path)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def endless(path: Path) -> None:
    with path.open("ab") as stream:
        stream.truncate(2**40)


def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def rewrite(path: Path) -> None:
        state = copied(path)
        change(state)
        save_file(state, path)

    return rewrite


STEM = "trunk.stem.weight"
FILES: dict[str, Callable[[Path], None]] = {
    "absent": Path.unlink,
    "pickled": pickled,
    "cut off": cut_off,
    "a pipe": piped,
    "endless": endless,
    "no number": tensors(lambda state: state[STEM].fill_(float("nan"))),
    "misshapen": tensors(lambda state: state.update({STEM: state[STEM][:1].clone()})),
    "another kind": tensors(lambda state: state.update({STEM: state[STEM].double()})),
    "surplus": tensors(lambda state: state.update(stranger=torch.zeros(1))),
    "missing": tensors(lambda state: state.pop(STEM)),
}


@pytest.mark.parametrize("change", FILES)
def test_changed_weights_are_refused(change: str, exported: ExportedModel, tmp_path: Path) -> None:
    folder = shutil.copytree(exported.folder, tmp_path / "net")
    FILES[change](folder / "folded.safetensors")
    with pytest.raises(UsageError) as caught:
        ofa_bench.load(folder)
    assert caught.value.hint


@pytest.mark.parametrize("raw", [b"", b"{", b"[" * 100_000, b'{"a": 1e999}', b"\xff\xfe", b"null"])
def test_what_is_no_json_is_refused(raw: bytes, exported: ExportedModel, tmp_path: Path) -> None:
    folder = shutil.copytree(exported.folder, tmp_path / "net")
    (folder / "model.json").write_bytes(raw)
    with pytest.raises(UsageError):
        ofa_bench.load(folder)


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for source in ("nowhere", tmp_path / "file", tmp_path):
        with pytest.raises(UsageError) as caught:
            ofa_bench.load(source)
        assert caught.value.hint
    with pytest.raises(UsageError, match="revision"):
        ofa_bench.load(tmp_path, revision="main")
